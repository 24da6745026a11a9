import {
  ListUsageEvents,
  ListUsageEventsOutput,
  UsageSnapshot,
  UsageTimeseries,
  UsageTimeseriesOutput,
  WatchUsage,
} from '@keymeter/contract'
import { type TRPCRouterRecord, tracked } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { inAccount } from '../scope.ts'
import { streamOf } from '../stream-of.ts'
import { signedInCall, signedInProcedure } from '../trpc.ts'
import { listUsageEvents } from './events/page.ts'
import { usageSnapshot } from './snapshot.ts'
import { usageTimeseries } from './timeseries.ts'

export const usageRouter = {
  events: signedInProcedure
    .meta({
      description: 'Lists the usage events, newest first, in pages: charges, refusals, holds, settles, releases and refunds.',
    })
    .input(ListUsageEvents.default(ListUsageEvents.parse({})))
    .output(ListUsageEventsOutput)
    .query(({ ctx, input }) => withRequestId(ctx, listUsageEvents(ctx.scope, input))),
  timeseries: signedInProcedure
    .meta({
      description:
        'Returns the usage of a billing cycle or of a time range, by hours or days of any time zone, for each key or operation.',
    })
    .input(UsageTimeseries.default(UsageTimeseries.parse({})))
    .output(UsageTimeseriesOutput)
    .query(({ ctx, input }) => withRequestId(ctx, usageTimeseries(ctx.scope, input))),
  watch: signedInCall
    .meta({
      description:
        'Streams the balance of the account: the current balance, and another within a second after each change by a call. The start of a billing cycle and expired holds are shown within 15 seconds.',
    })
    .input(WatchUsage.default({}))
    .output(streamOf(UsageSnapshot))
    .subscription(async function* ({ ctx, signal }) {
      const { userId, expiresAt } = ctx.caller
      const read = async () => await inAccount({ ...ctx, userId }, 'read only', usageSnapshot)
      for await (const snapshot of ctx.usageWatch.watch(userId, read, { endsAt: expiresAt, signal }))
        yield tracked(String(snapshot.sequence), { ...snapshot, requestId: ctx.requestId })
    }),
} satisfies TRPCRouterRecord
