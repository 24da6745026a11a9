import { useNavigate } from '@tanstack/react-router'
import { announce } from '../ui/toasts.tsx'
import { AccountName, accountNameText } from './account-name.tsx'
import { chooseAccount, useAccounts, useCurrentAccountId } from './current-account.ts'

/** The list of the person's accounts. It is absent if there is only one. */
export function AccountSwitch() {
  const navigate = useNavigate()
  const accounts = useAccounts()
  const currentId = useCurrentAccountId()
  if (accounts === null || accounts.length < 2 || currentId === null) return null
  const choose = async (id: string) => {
    const account = accounts.find((one) => one.id === id)
    if (account === undefined) return
    chooseAccount(id)
    announce(
      <>
        You now see the account <AccountName account={account} />.
      </>,
    )
    // The filters in the URL contain ids of the previous account.
    await navigate({ to: '.', search: {} })
  }
  return (
    <select
      aria-label="Account"
      value={currentId}
      onChange={(event) => void choose(event.target.value)}
      className="min-h-10 w-40 min-w-24 shrink truncate rounded-lg border border-line-strong bg-surface px-2 text-base sm:text-sm"
    >
      {accounts.map((account) => (
        <option key={account.id} value={account.id}>
          {accountNameText(account)} ({account.role})
        </option>
      ))}
    </select>
  )
}
