import type { MemberAccount } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { Link, type LinkProps, Outlet, useLocation } from '@tanstack/react-router'
import { LogOut, Settings } from 'lucide-react'
import { useEffect } from 'react'
import { AccountName } from '../account/account-name.tsx'
import { AccountSwitch } from '../account/account-switch.tsx'
import { currentAccountId, knownAccounts, noteAccounts, useAccounts, useCurrentAccountId } from '../account/current-account.ts'
import { NoAccount } from '../account/no-account.tsx'
import { provision, provisionOnce, useProvisioning } from '../account/provisioning.ts'
import { writtenAddress } from '../auth/written-address.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { signOut, useSession } from '../call/session.ts'
import { REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { RealTime } from '../usage/real-time.tsx'

/** The header and the frame of every page that needs a session. */
export function SignedInPage() {
  const user = useSession()?.user
  const userId = user?.id
  useEffect(() => {
    if (userId !== undefined) provisionOnce(userId)
  }, [userId])
  const accountId = useCurrentAccountId()
  const needsAccount = useLocation({ select: ({ pathname }) => pathname !== '/settings' })
  const hasNoAccount = useAccounts()?.length === 0
  useFreshAccounts(userId)
  return (
    <>
      <header className="border-b border-line bg-surface">
        <div className="mx-auto flex max-w-5xl flex-wrap items-center gap-x-3 gap-y-1 px-4 py-3">
          <img src="/favicon.svg" alt="" className="size-7" />
          <span className="font-semibold tracking-tight max-sm:sr-only">Keymeter</span>
          {/* On narrow screens, the pages are in a second line, and symbols replace the texts of the first line. */}
          <nav
            aria-label="Pages"
            className="order-last -mx-1.5 flex basis-full flex-wrap max-sm:justify-between sm:-mx-3 sm:gap-1 lg:order-none lg:mr-0 lg:ml-2 lg:basis-auto"
          >
            <PageLink to="/">API keys</PageLink>
            <PageLink to="/usage">Usage</PageLink>
            <PageLink to="/billing">Billing</PageLink>
            <PageLink to="/activity">Activity</PageLink>
            <PageLink to="/members">Members</PageLink>
          </nav>
          <span className="flex min-w-0 flex-1 items-center justify-end gap-x-1 sm:gap-x-2">
            <AccountSwitch />
            {userId !== undefined && accountId !== null && <RealTime userId={userId} account={accountId} />}
            <Link
              to="/settings"
              preload="intent"
              className="flex min-h-10 min-w-10 items-center justify-center gap-2 rounded-lg px-2 text-sm text-ink-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
            >
              <Settings className="size-4 shrink-0" aria-hidden="true" />
              <span className="truncate max-sm:sr-only">
                <span className={user?.email ? 'sr-only' : ''}>Settings</span>
                {user?.email && (
                  <>
                    {' '}
                    <UserText>{writtenAddress(user.email)}</UserText>
                  </>
                )}
              </span>
            </Link>
            <Button variant="quiet" className="min-w-10 shrink-0 px-2 sm:px-3" onClick={signOut}>
              <LogOut className="size-4 sm:hidden" aria-hidden="true" />
              <span className="max-sm:sr-only">Sign out</span>
            </Button>
          </span>
        </div>
      </header>
      {/* A new `key` unmounts all content when the user or the account changes, so that nobody sees other data for a moment. */}
      <main key={`${userId} ${accountId}`} className="mx-auto grid max-w-5xl gap-6 px-4 py-8">
        {userId !== undefined && <ProvisioningFault userId={userId} />}
        {hasNoAccount && needsAccount ? <NoAccount /> : <Outlet />}
      </main>
    </>
  )
}

/**
 * Reads the accounts and the roles of the person now and then, and after each call that was refused because of them. A person who was
 * removed from the account on the page sees another account, with a message.
 */
function useFreshAccounts(userId: string | undefined): void {
  const isProvisioned = useProvisioning().state === 'done'
  const { data } = useQuery(
    trpc.accounts.list.queryOptions(undefined, { enabled: isProvisioned, refetchInterval: REFRESH_INTERVAL_MS }),
  )
  useEffect(() => {
    if (userId === undefined || data === undefined) return
    const previous = knownAccounts()?.find(({ id }) => id === currentAccountId())
    const change = noteAccounts(userId, data.data)
    if (change === 'other role') announce(`Your role in this account is now ${roleOf(data.data)}.`)
    if (change === 'lost' && previous !== undefined)
      announce(
        <>
          You are no longer a member of the account <AccountName account={previous} />.
        </>,
      )
  }, [userId, data])
}

function roleOf(accounts: MemberAccount[]): string {
  return accounts.find(({ id }) => id === currentAccountId())?.role ?? 'another one'
}

/** The router sets `aria-current` on the link of the open page, and the styles use this attribute. */
function PageLink(props: Pick<LinkProps, 'to' | 'children'>) {
  return (
    <Link
      {...props}
      preload="intent"
      activeOptions={{ exact: true, includeSearch: false }}
      className="flex min-h-10 items-center rounded-lg px-1.5 text-sm font-medium text-ink-soft hover:bg-raised hover:text-ink sm:px-3 aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
    />
  )
}

function ProvisioningFault({ userId }: { userId: string }) {
  const provisioning = useProvisioning()
  if (provisioning.state !== 'failed') return null
  const { error } = provisioning
  return (
    <ErrorNotice error={{ ...error, message: `Your account could not be set up yet. ${error.message}` }}>
      <Button variant="secondary" onClick={() => provision(userId)}>
        Retry
      </Button>
    </ErrorNotice>
  )
}
