import { UsageTimeseries, UsageTimeseriesAnswer } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { signedInProcedure } from '../trpc.ts'
import { usageTimeseries } from './timeseries.ts'

export const usageRouter = {
  timeseries: signedInProcedure
    .meta({
      description: 'Usage by hours or days of any time zone, by key or by operation; of a billing cycle or of any range.',
    })
    .input(UsageTimeseries.default(UsageTimeseries.parse({})))
    .output(UsageTimeseriesAnswer)
    .query(async ({ ctx, input }) => ({ ...(await usageTimeseries(ctx.scope, input)), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
