import { z } from 'zod'
import { EMAIL_LENGTH_MAX } from './auth.ts'
import { MEMBERS_MAX, MemberAccount } from './members.ts'
import { Credits, Output } from './output.ts'

/** What a person must type if the account has no name and no address of its owner is known, or if the person has no address. */
export const DELETION_WORD = 'delete'

/**
 * Returns the text that a person must type to delete an account: its name, otherwise the address of its owner. A fixed word would not
 * protect a member of several accounts from the deletion of the wrong one.
 */
export function deletionTextOf({ name, ownerEmail }: Pick<MemberAccount, 'name' | 'ownerEmail'>): string {
  return name ?? ownerEmail ?? DELETION_WORD
}

/** Returns true if the person has typed this text. Spaces around it, and upper and lower case, do not count. */
export function isConfirmed(typed: string, wanted: string): boolean {
  const plain = (text: string) => text.normalize('NFC').trim().toLowerCase()
  return plain(typed) === plain(wanted)
}

const Confirmation = z.string().max(EMAIL_LENGTH_MAX, `Use at most ${EMAIL_LENGTH_MAX} characters.`)

/** `confirmation` is the text of `deletionTextOf`. */
export const CloseAccount = z.strictObject({ confirmation: Confirmation })

/** An account of a person, and what the deletion of the account, or of the person's sign-in, would end. */
export const AccountToDelete = MemberAccount.extend({
  /** True if the account would have no owner without the person. Then it must be deleted too, or get another owner first. */
  isLastOwner: z.boolean(),
  /** What the deletion of the account ends. Null if the account needs a second factor that the person has not given. */
  consequences: z
    .object({
      /** The number of all other members. They lose their access if the account is deleted. */
      otherMembers: z.int().nonnegative(),
      /** The number of keys that are revoked if the account is deleted. */
      liveKeys: z.int().nonnegative(),
      /** The credits that nobody can spend after the deletion of the account. */
      creditsRemaining: Credits,
      /** The credits of open holds. They can still be settled after the deletion of the account. */
      creditsHeld: Credits,
    })
    .nullable(),
})
export type AccountToDelete = z.infer<typeof AccountToDelete>

export const GetDeletionOutput = Output.extend({
  /** At most 100 accounts. A person who is a member of more accounts sees the others after these are deleted or left. */
  data: z.array(AccountToDelete),
  /** False if this server has no secret key of Supabase, so the operator must delete the sign-in. */
  canDeleteSignIn: z.boolean(),
})

/**
 * Deletes the person's sign-in. `confirmation` is the address of the person. `closedAccounts` are the ids of all accounts of which the
 * person is the last owner: they are deleted too. The person leaves all other accounts.
 */
export const DeleteMe = z.strictObject({
  confirmation: Confirmation,
  closedAccounts: z.array(z.guid().toLowerCase()).max(MEMBERS_MAX).default([]),
})
export type DeleteMe = z.infer<typeof DeleteMe>

/** `isSignInDeleted` is false if the operator must delete the user in Supabase. The person then is a member of no account. */
export const DeleteMeOutput = Output.extend({ isSignInDeleted: z.boolean() })
