import { createRootRoute, createRoute, createRouter, Link, lazyRouteComponent, Outlet, redirect } from '@tanstack/react-router'
import { parseActivitySearch } from '../audit/activity-search.ts'
import { SignInPage } from '../auth/sign-in-page.tsx'
import { SignUpPage } from '../auth/sign-up-page.tsx'
import { parseBillingSearch } from '../billing/billing-search.ts'
import { currentSession } from '../call/session.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { KeysPage } from '../keys/keys-page.tsx'
import { parseKeysSearch } from '../keys/keys-search.ts'
import { SecretDialog } from '../keys/secret-dialog.tsx'
import { Toasts } from '../ui/toasts.tsx'
import { parseUsageSearch } from '../usage/usage-search.ts'
import { SignedInPage } from './signed-in-page.tsx'

const rootRoute = createRootRoute({
  component: () => (
    <>
      <Outlet />
      <SecretDialog />
      <Toasts />
    </>
  ),
  notFoundComponent: NotFound,
})

const onlySignedIn = () => {
  if (currentSession() === null) throw redirect({ to: '/sign-in' })
  // The person has signed in or signed up in order to accept it. No other page may open an account for them first.
  if (pendingInvitation()?.isWanted) throw redirect({ to: '/invite' })
}
const onlySignedOut = () => {
  if (currentSession() !== null) throw redirect({ to: '/' })
}

const signedInRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'signed-in',
  beforeLoad: onlySignedIn,
  component: SignedInPage,
})

const routeTree = rootRoute.addChildren([
  signedInRoute.addChildren([
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/',
      validateSearch: parseKeysSearch,
      component: KeysPage,
    }),
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/usage',
      validateSearch: parseUsageSearch,
      component: lazyRouteComponent(() => import('../usage/usage-page.tsx'), 'UsagePage'),
    }),
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/billing',
      validateSearch: parseBillingSearch,
      component: lazyRouteComponent(() => import('../billing/billing-page.tsx'), 'BillingPage'),
    }),
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/activity',
      validateSearch: parseActivitySearch,
      component: lazyRouteComponent(() => import('../audit/activity-page.tsx'), 'ActivityPage'),
    }),
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/members',
      component: lazyRouteComponent(() => import('../members/members-page.tsx'), 'MembersPage'),
    }),
  ]),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/invite',
    component: lazyRouteComponent(() => import('../invite/invite-page.tsx'), 'InvitePage'),
  }),
  createRoute({ getParentRoute: () => rootRoute, path: '/sign-in', beforeLoad: onlySignedOut, component: SignInPage }),
  createRoute({ getParentRoute: () => rootRoute, path: '/sign-up', beforeLoad: onlySignedOut, component: SignUpPage }),
])

export const router = createRouter({ routeTree })

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}

function NotFound() {
  return (
    <main className="grid min-h-dvh place-content-center gap-3 px-4 text-center">
      <title>Not found · Keymeter</title>
      <h1 className="text-xl font-semibold">There is nothing here</h1>
      <p className="text-ink-soft">The address may be mistyped.</p>
      <Link to="/" className="font-medium text-accent underline underline-offset-2">
        To your keys
      </Link>
    </main>
  )
}
