import { AlertsOutput, AlertThresholdsOutput, SetAlertThresholds } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { editProcedure, signedInProcedure } from '../trpc.ts'
import { listAlerts } from './list.ts'
import { getAlertThresholds, setAlertThresholds } from './thresholds.ts'

export const alertsRouter = {
  list: signedInProcedure
    .meta({
      description: 'Lists the alerts, newest first, and the account’s thresholds.',
    })
    .output(AlertsOutput)
    .query(async ({ ctx }) => ({
      thresholds: await getAlertThresholds(ctx.scope),
      data: await listAlerts(ctx.scope),
      requestId: ctx.requestId,
    })),

  setThresholds: editProcedure
    .meta({
      description: 'Replaces the account’s thresholds, in percent of the cycle’s credits. An empty list switches alerts off.',
    })
    .input(SetAlertThresholds)
    .output(AlertThresholdsOutput)
    .mutation(async ({ ctx, input }) => ({
      thresholds: await setAlertThresholds(ctx.scope, input.thresholds),
      requestId: ctx.requestId,
    })),
} satisfies TRPCRouterRecord
