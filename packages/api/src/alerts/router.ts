import { AlertsOutput, AlertThresholdsOutput, SetAlertThresholds } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
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
      ...(await getAlertThresholds(ctx.scope)),
      data: await listAlerts(ctx.scope),
      requestId: ctx.requestId,
    })),

  setThresholds: editProcedure
    .meta({
      description:
        'Replaces the account’s thresholds: percentages of the plan’s credits, and numbers of credits left. An empty list switches the alerts of its kind off. A missing list does not change.',
    })
    .input(SetAlertThresholds)
    .output(AlertThresholdsOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, setAlertThresholds(ctx.scope, input))),
} satisfies TRPCRouterRecord
