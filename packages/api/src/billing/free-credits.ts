import type { FreeCreditsRefusal } from '@keymeter/contract'
import type { Person } from '../auth/check-session.ts'
import { hashMailbox } from '../auth/mailbox.ts'

/** When a new account gets free credits. `.env.example` describes the setting. */
export const FREE_CREDITS = ['after_confirmation', 'on_sign_up', 'none'] as const
export type FreeCredits = (typeof FREE_CREDITS)[number]

/**
 * The decision about an account's free credits, without the check whether the mailbox has already had them: only
 * keymeter.create_account can check that, in the transaction that creates the account.
 */
export interface FreeCreditsDecision {
  mailboxHash: Buffer | null
  refusal: Exclude<FreeCreditsRefusal, 'mailbox_used'> | null
}

/** The decision if nobody has asked the auth server about the user. The next `auth.provision` decides again. */
export const UNDECIDED: FreeCreditsDecision = { mailboxHash: null, refusal: 'not_confirmed' }

/**
 * Decides whether a user may get free credits. In a project that does not confirm addresses, Supabase Auth marks each address as
 * confirmed at sign-up.
 */
export function decideFreeCredits(freeCredits: FreeCredits, { email, isEmailConfirmed }: Person): FreeCreditsDecision {
  if (freeCredits === 'none') return { mailboxHash: null, refusal: 'not_offered' }
  // Without an address, there is no mailbox that could get the credits only once.
  if (email === null || (freeCredits === 'after_confirmation' && !isEmailConfirmed)) return UNDECIDED
  return { mailboxHash: hashMailbox(email), refusal: null }
}
