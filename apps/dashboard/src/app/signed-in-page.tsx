import { Link, type LinkProps, Outlet } from '@tanstack/react-router'
import { Settings } from 'lucide-react'
import { useEffect } from 'react'
import { provision, provisionOnce, useProvisioning } from '../account/provisioning.ts'
import { writtenAddress } from '../auth/written-address.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { signOut, useSession } from '../call/session.ts'
import { Button } from '../ui/button.tsx'
import { UserText } from '../ui/user-text.tsx'
import { RealTime } from '../usage/real-time.tsx'

/** The header and the frame of every page that needs a session. */
export function SignedInPage() {
  const user = useSession()?.user
  const userId = user?.id
  useEffect(() => {
    if (userId !== undefined) provisionOnce(userId)
  }, [userId])
  return (
    <>
      <header className="border-b border-line bg-surface">
        <div className="mx-auto flex max-w-5xl flex-wrap items-center gap-x-3 gap-y-1 px-4 py-3">
          <img src="/favicon.svg" alt="" className="size-7" />
          <span className="font-semibold tracking-tight">Keymeter</span>
          <nav aria-label="Pages" className="order-last -ml-3 flex basis-full gap-1 sm:order-none sm:ml-3 sm:basis-auto">
            <PageLink to="/">API keys</PageLink>
            <PageLink to="/usage">Usage</PageLink>
            <PageLink to="/billing">Billing</PageLink>
            <PageLink to="/activity">Activity</PageLink>
          </nav>
          <span className="flex min-w-0 flex-1 justify-end">
            <Link
              to="/settings"
              preload="intent"
              className="flex min-h-10 min-w-0 items-center gap-2 rounded-lg px-3 text-sm text-ink-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
            >
              <Settings className="size-4 shrink-0" aria-hidden="true" />
              <span className="truncate">
                <span className={user?.email ? 'sr-only' : ''}>Settings</span>
                {user?.email && (
                  <>
                    {' '}
                    <UserText>{writtenAddress(user.email)}</UserText>
                  </>
                )}
              </span>
            </Link>
          </span>
          {userId !== undefined && <RealTime userId={userId} />}
          <Button variant="quiet" className="shrink-0" onClick={signOut}>
            Sign out
          </Button>
        </div>
      </header>
      {/* A new `key` unmounts all content when the user changes, so that nobody sees another user's data. */}
      <main key={userId} className="mx-auto grid max-w-5xl gap-6 px-4 py-8">
        {userId !== undefined && <ProvisioningFault userId={userId} />}
        <Outlet />
      </main>
    </>
  )
}

/** The router sets `aria-current` on the link of the open page, and the styles use this attribute. */
function PageLink(props: Pick<LinkProps, 'to' | 'children'>) {
  return (
    <Link
      {...props}
      preload="intent"
      activeOptions={{ exact: true, includeSearch: false }}
      className="flex min-h-10 items-center rounded-lg px-3 text-sm font-medium text-ink-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
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
