import {
  ListUsageEvents,
  ListUsageEventsOutput,
  MEMBERS_MAX,
  UsageSnapshot,
  UsageTimeseries,
  UsageTimeseriesOutput,
  WatchUsage,
} from '@keymeter/contract'
import { type TRPCRouterRecord, tracked } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { inAccount, inAccountWithoutTurn, type Scope } from '../scope.ts'
import { streamOf } from '../stream-of.ts'
import { memberCall, signedInCall, signedInProcedure } from '../trpc.ts'
import { listUsageEvents } from './events/page.ts'
import { usageSnapshot } from './snapshot.ts'
import { usageTimeseries } from './timeseries.ts'
import type { AccountNow } from './watch.ts'

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
    .subscription(async ({ ctx, path, signal }) => {
      const { caller } = ctx
      const call = memberCall(ctx, path, caller)
      await inAccount(call, 'read only', async () => {})
      // All members who watch share the reads, so a read belongs to no member. Each read also returns who may read the account by then.
      const read = async () => await inAccountWithoutTurn({ ...call, by: null }, 'read only', readAccountNow)
      const snapshots = ctx.usageWatch.watch(call.userId, caller, read, { endsAt: caller.expiresAt, signal })
      return eventsOf(snapshots, ctx.requestId)
    }),
} satisfies TRPCRouterRecord

async function* eventsOf(snapshots: AsyncIterable<Omit<UsageSnapshot, 'requestId'>>, requestId: string) {
  for await (const snapshot of snapshots) yield tracked(String(snapshot.sequence), { ...snapshot, requestId })
}

async function readAccountNow(scope: Scope): Promise<AccountNow> {
  const members = await scope.db
    .selectFrom('account_members as members')
    .innerJoin('billing_accounts as accounts', 'accounts.user_id', 'members.user_id')
    .select(['members.member_id as id', 'accounts.requires_second_factor as needsSecondFactor'])
    .where('members.user_id', '=', scope.userId)
    .where('members.role', 'is not', null)
    .limit(MEMBERS_MAX)
    .execute()
  return {
    snapshot: await usageSnapshot(scope),
    memberIds: new Set(members.map(({ id }) => id)),
    needsSecondFactor: members.some(({ needsSecondFactor }) => needsSecondFactor),
  }
}
