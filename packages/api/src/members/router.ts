import {
  AcceptedInvitationOutput,
  InvitationByToken,
  InvitationRef,
  InvitationsOutput,
  InvitedOutput,
  InviteMember,
  MemberRef,
  MembersOutput,
  Output,
  ReceivedInvitationOutput,
  SetMemberRole,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { AppError } from '../errors.ts'
import { withRequestId } from '../request-id.ts'
import { inAccount, type Scope } from '../scope.ts'
import { inviteProcedure, memberChangeProcedure, publicProcedure, signedInCall, signedInProcedure } from '../trpc.ts'
import { acceptInvitation } from './accept-invitation.ts'
import { invitationLink, inviteMember } from './invite.ts'
import { listMembers } from './list.ts'
import { listInvitations } from './list-invitations.ts'
import { mailInvitation } from './mail-invitation.ts'
import { readInvitation } from './read-invitation.ts'
import { revokeInvitation } from './revoke-invitation.ts'
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
    .mutation(async ({ ctx: { scope }, input }) => {
      await setRole(scope, input.memberId, input.role)
      return { requestId: scope.requestId }
    }),

  remove: memberChangeProcedure
    .meta({ description: 'Removes a member from the account. The keys of the member stay until somebody revokes them.' })
    .input(MemberRef)
    .output(Output)
    .mutation(async ({ ctx: { scope }, input }) => {
      await setRole(scope, input.memberId, null)
      return { requestId: scope.requestId }
    }),

  leave: memberChangeProcedure
    .meta({ description: 'Leaves the account. The last owner cannot leave.' })
    .output(Output)
    .mutation(async ({ ctx: { scope } }) => {
      await setRole(scope, memberOf(scope).id, null)
      return { requestId: scope.requestId }
    }),

  transferOwnership: memberChangeProcedure
    .meta({ description: 'Makes another member an owner, and the caller an admin.' })
    .input(MemberRef)
    .output(Output)
    .mutation(async ({ ctx: { scope }, input }) => {
      const { id } = memberOf(scope)
      if (id === input.memberId)
        throw new AppError('bad_request', {
          field: 'memberId',
          message: 'You already own this account: choose another member.',
        })
      await setRole(scope, input.memberId, 'owner')
      await setRole(scope, id, 'admin')
      return { requestId: scope.requestId }
    }),

  invite: inviteProcedure
    .meta({
      description:
        'Invites an e-mail address to the account for 7 days. Only this answer contains the link. An earlier invitation of the address ends. If mails are set up, the link is also sent by mail.',
    })
    .input(InviteMember)
    .output(InvitedOutput)
    .mutation(async ({ ctx, input }) => {
      const { invitation, token } = await inAccount(ctx.call, 'read write', async (scope) => await inviteMember(scope, input))
      const link = invitationLink(ctx, token)
      const mail = await mailInvitation(ctx, ctx.call.by.caller, invitation, link)
      return { invitation, link, mail, requestId: ctx.requestId }
    }),

  invitations: signedInProcedure
    .meta({ description: 'Lists the invitations that were neither accepted nor revoked, newest first.' })
    .output(InvitationsOutput)
    .query(async ({ ctx: { scope } }) => ({ data: await listInvitations(scope), requestId: scope.requestId })),

  revokeInvitation: memberChangeProcedure
    .meta({ description: 'Revokes an invitation, so that its link no longer works.' })
    .input(InvitationRef)
    .output(Output)
    .mutation(async ({ ctx: { scope }, input }) => {
      await revokeInvitation(scope, input.invitationId)
      return { requestId: scope.requestId }
    }),

  readInvitation: publicProcedure
    .meta({ description: 'Returns the invitation with this token. Nobody needs to be signed in.' })
    .input(InvitationByToken)
    .output(ReceivedInvitationOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, readInvitation(ctx, input.token))),

  acceptInvitation: signedInCall
    .meta({
      description:
        'Makes the person a member of the account of an invitation, if the invitation is for their confirmed address.',
    })
    .input(InvitationByToken)
    .output(AcceptedInvitationOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, acceptInvitation(ctx, ctx.caller, input.token))),
} satisfies TRPCRouterRecord

function memberOf({ member }: Scope) {
  if (member === null) throw new Error('a call of a member has no member')
  return member
}
