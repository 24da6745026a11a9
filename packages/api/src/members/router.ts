import { MemberRef, MembersOutput, Output, SetMemberRole } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'
import { memberChangeProcedure, signedInProcedure } from '../trpc.ts'
import type { UsageWatch } from '../usage/watch.ts'
import { announceMembers } from './announce-members.ts'
import { listMembers } from './list.ts'
import { setRole } from './set-role.ts'

export const membersRouter = {
  list: signedInProcedure
    .meta({ description: 'Lists the members of the account, owners first.' })
    .output(MembersOutput)
    .query(async ({ ctx: { scope } }) => ({ data: await listMembers(scope), requestId: scope.requestId })),

  setRole: memberChangeProcedure
    .meta({
      description: 'Changes the role of a member. Only owners can make or change an owner. An account always has an owner.',
    })
    .input(SetMemberRole)
    .output(Output)
    .mutation(({ ctx, input }) => change(ctx, async (scope) => await setRole(scope, input.memberId, input.role))),

  remove: memberChangeProcedure
    .meta({ description: 'Removes a member from the account. The keys of the member stay until somebody revokes them.' })
    .input(MemberRef)
    .output(Output)
    .mutation(({ ctx, input }) => change(ctx, async (scope) => await setRole(scope, input.memberId, null))),

  leave: memberChangeProcedure
    .meta({ description: 'Leaves the account. The last owner cannot leave.' })
    .output(Output)
    .mutation(({ ctx }) => change(ctx, async (scope) => await setRole(scope, memberOf(scope).id, null))),

  transferOwnership: memberChangeProcedure
    .meta({ description: 'Makes another member an owner, and the caller an admin.' })
    .input(MemberRef)
    .output(Output)
    .mutation(({ ctx, input }) =>
      change(ctx, async (scope) => {
        const { id } = memberOf(scope)
        if (id === input.memberId)
          throw new AppError('bad_request', {
            field: 'memberId',
            message: 'You already own this account: choose another member.',
          })
        await setRole(scope, input.memberId, 'owner')
        await setRole(scope, id, 'admin')
      }),
    ),
} satisfies TRPCRouterRecord

async function change(
  { scope, usageWatch }: { scope: Scope; usageWatch: UsageWatch },
  operation: (scope: Scope) => Promise<unknown>,
): Promise<{ requestId: string }> {
  await operation(scope)
  await announceMembers(scope, usageWatch)
  return { requestId: scope.requestId }
}

function memberOf({ member }: Scope) {
  if (member === null) throw new Error('a call of a member has no member')
  return member
}
