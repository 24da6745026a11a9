import {
  ListUsageEvents,
  ListUsageEventsAnswer,
  UsageSnapshot,
  UsageTimeseries,
  UsageTimeseriesAnswer,
  WatchUsage,
} from '@keymeter/contract'
import { type TRPCRouterRecord, tracked } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { inAccount } from '../scope.ts'
import { streamOf } from '../stream-of.ts'
import { signedInProcedure, signedInStream } from '../trpc.ts'
import { listUsageEvents } from './events.ts'
import { usageSnapshot } from './snapshot.ts'
import { usageTimeseries } from './timeseries.ts'

export const usageRouter = {
  events: signedInProcedure
    .meta({ description: 'What was charged or refused, one by one; newest first, in pages.' })
    .input(ListUsageEvents.default(ListUsageEvents.parse({})))
    .output(ListUsageEventsAnswer)
    .query(({ ctx, input }) => withRequestId(ctx, listUsageEvents(ctx.scope, input))),
  timeseries: signedInProcedure
    .meta({
      description: 'Usage by hours or days of any time zone, by key or by operation; of a billing cycle or of any range.',
    })
    .input(UsageTimeseries.default(UsageTimeseries.parse({})))
    .output(UsageTimeseriesAnswer)
    .query(({ ctx, input }) => withRequestId(ctx, usageTimeseries(ctx.scope, input))),
  watch: signedInStream
    .meta({ description: 'Spending as it happens: the account’s balance now, and within a second of each change.' })
    .input(WatchUsage.default({}))
    .output(streamOf(UsageSnapshot))
    .subscription(async function* ({ ctx, signal }) {
      const { userId, expiresAt } = ctx.caller
      const read = async () => await inAccount({ ...ctx, userId }, 'read only', usageSnapshot)
      for await (const snapshot of ctx.usageWatch.watch(userId, read, { endsAt: expiresAt, signal }))
        yield tracked(String(snapshot.sequence), { ...snapshot, requestId: ctx.requestId })
    }),
} satisfies TRPCRouterRecord
