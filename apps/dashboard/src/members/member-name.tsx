import { writtenAddress } from '../auth/written-address.ts'
import { isolated, UserText } from '../ui/user-text.tsx'

/** A member whose address is null has never opened the dashboard, or was deleted in Supabase Auth. */
const UNKNOWN = 'Unknown address'

export function MemberName({ email }: { email: string | null }) {
  return email === null ? UNKNOWN : <UserText>{writtenAddress(email)}</UserText>
}

/** Returns the same as a text, for a label that only screen readers use. */
export function memberNameText({ email }: { email: string | null }): string {
  return email === null ? UNKNOWN : isolated(writtenAddress(email))
}
