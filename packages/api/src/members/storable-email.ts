import { EMAIL_LENGTH_MAX, hasNoWholeSecret } from '@keymeter/contract'

/**
 * Returns the address of a member for lists, or null if it cannot be stored. The auth server has accepted the address, perhaps from
 * another provider, so it can be longer than ours or contain a secret. Nothing depends on the stored address.
 */
export function storableEmail(email: string | null | undefined): string | null {
  return email && email.length <= EMAIL_LENGTH_MAX && hasNoWholeSecret(email) ? email : null
}
