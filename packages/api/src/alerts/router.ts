import { AlertsAnswer, AlertThresholdsAnswer, SetAlertThresholds } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { signedInProcedure } from '../trpc.ts'
import { listAlerts } from './list.ts'
import { getAlertThresholds, setAlertThresholds } from './thresholds.ts'

export const alertsRouter = {
  list: signedInProcedure
    .meta({
      description: 'The thresholds of the cycle’s credits that usage reached, newest first, and those that are watched for.',
    })
    .output(AlertsAnswer)
    .query(async ({ ctx }) => ({
      thresholds: await getAlertThresholds(ctx.scope),
      data: await listAlerts(ctx.scope),
      requestId: ctx.requestId,
    })),

  setThresholds: signedInProcedure
    .meta({ description: 'Watches for these thresholds from now on, in percent of the cycle’s credits; none for no alerts.' })
    .input(SetAlertThresholds)
    .output(AlertThresholdsAnswer)
    .mutation(async ({ ctx, input }) => ({
      thresholds: await setAlertThresholds(ctx.scope, input.thresholds),
      requestId: ctx.requestId,
    })),
} satisfies TRPCRouterRecord
