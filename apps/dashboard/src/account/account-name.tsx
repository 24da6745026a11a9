import type { MemberAccount } from '@keymeter/contract'
import { writtenAddress } from '../auth/written-address.ts'
import { isolated, UserText } from '../ui/user-text.tsx'

type NamedAccount = Pick<MemberAccount, 'id' | 'name' | 'ownerEmail'>

/** Shows the name of an account. An account without a name has the address of its first owner. */
export function AccountName({ account }: { account: NamedAccount }) {
  return <UserText>{nameOf(account)}</UserText>
}

/** Returns the same as a text, for an option of a list. */
export function accountNameText(account: NamedAccount): string {
  return isolated(nameOf(account))
}

function nameOf({ id, name, ownerEmail }: NamedAccount): string {
  return name ?? (ownerEmail === null ? `Account ${id.slice(0, 8)}` : writtenAddress(ownerEmail))
}
