import { z } from 'zod'
import { Email } from './auth.ts'
import { InvitationToken, MemberAccount, MemberRole } from './members.ts'
import { Output, Timestamp } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

/** An invitation can be accepted for this time. */
export const INVITATION_DAYS = 7

/** An invitation that was neither accepted nor revoked. It can be expired: then it no longer works, and the list still shows it. */
export const Invitation = z.object({
  id: z.guid(),
  email: z.string(),
  role: MemberRole,
  /** The member who invited. Null if the operator did. The address is null if it is unknown. */
  invitedBy: z.object({ id: z.guid(), email: z.string().nullable() }).nullable(),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  isExpired: z.boolean(),
})
export type Invitation = z.infer<typeof Invitation>

/** An earlier invitation of the same address ends, so a repeat after a lost answer leaves one working link. */
export const InviteMember = z.strictObject({ email: Email.refine(hasNoWholeSecret, HAS_WHOLE_SECRET), role: MemberRole })
export type InviteMember = z.infer<typeof InviteMember>

export const InvitationRef = z.strictObject({ invitationId: z.guid().toLowerCase() })
/** Whoever has the token may read the invitation. Only the invited address can accept it. */
export const InvitationByToken = z.strictObject({ token: InvitationToken })

/**
 * What can be done with an invitation. Only an `open` one can be accepted. `accepted` means that a person has used it, and `closed`
 * that the account was deleted.
 */
export const InvitationState = z.enum(['open', 'expired', 'revoked', 'accepted', 'closed'])
export type InvitationState = z.infer<typeof InvitationState>

/** An invitation, as the invited person sees it. */
export const ReceivedInvitation = z.object({
  /** The name of the account. Null if it has none. */
  accountName: z.string().nullable(),
  email: z.string(),
  role: MemberRole,
  /** The address of the member who invited. Null if it is unknown. */
  invitedBy: z.string().nullable(),
  expiresAt: Timestamp,
  state: InvitationState,
})
export type ReceivedInvitation = z.infer<typeof ReceivedInvitation>

/** Whether the mail server has accepted a mail with the link. `off` means that this deployment sends no such mails. */
export const InvitationMail = z.enum(['sent', 'failed', 'off'])
export type InvitationMail = z.infer<typeof InvitationMail>

export const InvitationsOutput = Output.extend({ data: z.array(Invitation) })
/**
 * `link` contains the token, and no other answer does. It is a URL, or a path of the dashboard if the server does not know its own
 * URL. The token is in the fragment, which browsers send to no server.
 */
export const InvitedOutput = Output.extend({ invitation: Invitation, link: z.string(), mail: InvitationMail })
export const ReceivedInvitationOutput = Output.extend(ReceivedInvitation.shape)
/** `isNew` is false if the person was a member before. Then the role of the person stays, and the invitation is used up. */
export const AcceptedInvitationOutput = Output.extend({ account: MemberAccount, isNew: z.boolean() })
