import type { MemberAccount } from '@keymeter/contract'
import { AccountName } from '../account/account-name.tsx'
import { OpenAccount } from '../account/open-account.tsx'
import { ROLE_NAMES } from '../members/role-texts.ts'
import { Section } from './section.tsx'

/** Lists the accounts of the person. A person who owns none can open one, e.g. somebody who came by an invitation. */
export function AccountsSection({ accounts }: { accounts: MemberAccount[] }) {
  const isOwner = accounts.some(({ role }) => role === 'owner')
  return (
    <Section title="Accounts">
      {accounts.length === 0 ? (
        <p className="text-sm text-ink-soft">You are not a member of any account.</p>
      ) : (
        <ul aria-label="Your accounts" className="grid gap-2">
          {accounts.map((account) => (
            <li
              key={account.id}
              className="flex flex-wrap items-baseline justify-between gap-x-4 rounded-lg border border-line px-4 py-2 text-sm"
            >
              <span className="min-w-0 wrap-anywhere font-medium">
                <AccountName account={account} />
              </span>
              <span className="text-ink-soft">{ROLE_NAMES[account.role]}</span>
            </li>
          ))}
        </ul>
      )}
      {!isOwner && (
        <>
          <p className="text-sm text-ink-soft">An account of your own has its own keys, credits and members.</p>
          <OpenAccount label="Open an account of your own" className="justify-items-start" />
        </>
      )}
    </Section>
  )
}
