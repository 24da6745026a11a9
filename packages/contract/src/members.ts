import { z } from 'zod'
import { NewKey } from './keys.ts'
import { Output, Timestamp } from './output.ts'
import { writtenText } from './written-text.ts'

/** The maximum number of members of an account, together with its open invitations. `keymeter.max_members` has the same number. */
export const MEMBERS_MAX = 100
export const ACCOUNT_NAME_LENGTH_MAX = 64

/**
 * What a member may do:
 * - `owner`: everything. An account always has an owner.
 * - `admin`: changes keys, members who are not owners, thresholds and the name of the account.
 * - `developer`: creates keys and changes those keys, and sees everything.
 * - `viewer`: sees everything and changes nothing.
 */
export const MemberRole = z.enum(['owner', 'admin', 'developer', 'viewer'])
export type MemberRole = z.infer<typeof MemberRole>

/**
 * The token of an invitation: 32 random bytes in base64url after `kminv_`, so that logs and people recognise it. The pattern is in
 * whole-secret.ts too.
 */
export const InvitationToken = z.string().regex(/^kminv_[\w-]{43}$/, 'This link is not complete: copy the whole link.')

/** The id of a user in Supabase Auth. */
export const MemberId = z.guid().toLowerCase()
export const AccountName = writtenText(ACCOUNT_NAME_LENGTH_MAX, 'Enter a name.')

/** An account, as one of its members sees it in the list of their accounts. */
export const MemberAccount = z.object({
  id: z.guid(),
  /** Null if the account has no name. Show the address of the owner instead. */
  name: z.string().nullable(),
  /** The address of the first owner. Null if it is unknown. */
  ownerEmail: z.string().nullable(),
  role: MemberRole,
  /** True if the account can be used only after a sign-in with a second factor. */
  requiresSecondFactor: z.boolean(),
})
export type MemberAccount = z.infer<typeof MemberAccount>

export const Member = z.object({
  id: MemberId,
  /** The address of the member at their last visit. Null if the member has never opened the dashboard. */
  email: z.string().nullable(),
  role: MemberRole,
  createdAt: Timestamp,
  /** The number of live keys that the member has created and that belong to a person. */
  liveKeys: z.int().nonnegative(),
})
export type Member = z.infer<typeof Member>

export const MemberRef = z.strictObject({ memberId: MemberId })
export const SetMemberRole = MemberRef.extend({ role: MemberRole })
export const RenameAccount = z.strictObject({ name: AccountName.nullable() })
export const RequireSecondFactor = z.strictObject({ isRequired: z.boolean() })

/** `defaultKey` is the first key of the new account, with its secret. */
export const OpenAccountOutput = Output.extend({ account: MemberAccount, defaultKey: NewKey.nullable() })
export const AccountsOutput = Output.extend({ data: z.array(MemberAccount) })
export const MembersOutput = Output.extend({ data: z.array(Member) })
