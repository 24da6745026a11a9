import { nextPath } from '@keymeter/contract'
import { createRootRoute, createRoute, createRouter, Link, lazyRouteComponent, Outlet, redirect } from '@tanstack/react-router'
import { parseActivitySearch } from '../audit/activity-search.ts'
import { nextSearch, parseNextSearch } from '../auth/next-search.ts'
import { SignInAgainDialog } from '../auth/sign-in-again-dialog.tsx'
import { parseBillingSearch } from '../billing/billing-search.ts'
import { currentSession, hasSignedOut } from '../call/session.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { KeysPage } from '../keys/keys-page.tsx'
import { parseKeysSearch } from '../keys/keys-search.ts'
import { SecretDialog } from '../keys/secret-dialog.tsx'
import { SecondFactorGate } from '../step-up/second-factor-gate.tsx'
import { StepUpDialog } from '../step-up/step-up-dialog.tsx'
import { Toasts } from '../ui/toasts.tsx'
import { parseUsageSearch } from '../usage/usage-search.ts'
import { SignedInPage } from './signed-in-page.tsx'

const rootRoute = createRootRoute({
  component: () => (
    <>
      <Outlet />
      <SecretDialog />
      <SignInAgainDialog />
      <StepUpDialog />
      <Toasts />
    </>
  ),
  notFoundComponent: NotFound,
})

const onlySignedIn = () => {
  if (currentSession() === null) {
    const here = nextPath(location.pathname + location.search + location.hash)
    throw redirect({ to: '/sign-in', search: hasSignedOut() ? {} : nextSearch(here) })
  }
  // The person has signed in or signed up in order to accept it. No other page may open an account for them first.
  if (pendingInvitation()?.isWanted) throw redirect({ to: '/invite' })
}
const onlySignedOut = () => {
  if (currentSession() !== null) throw redirect({ href: nextPath(new URLSearchParams(location.search).get('next')) })
}

const signedInRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'signed-in',
  beforeLoad: onlySignedIn,
  component: () => (
    <SecondFactorGate>
      <SignedInPage />
    </SecondFactorGate>
  ),
})

const authRoute = createRoute({ getParentRoute: () => rootRoute, id: 'auth', validateSearch: parseNextSearch })

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
      path: '/settings',
      component: lazyRouteComponent(() => import('../settings/settings-page.tsx'), 'SettingsPage'),
    }),
    createRoute({
      getParentRoute: () => signedInRoute,
      path: '/members',
      component: lazyRouteComponent(() => import('../members/members-page.tsx'), 'MembersPage'),
    }),
  ]),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/provider',
    component: lazyRouteComponent(() => import('../auth/provider-window-page.tsx'), 'ProviderWindowPage'),
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/invite',
    component: lazyRouteComponent(() => import('../invite/invite-page.tsx'), 'InvitePage'),
  }),
  authRoute.addChildren([
    createRoute({
      getParentRoute: () => authRoute,
      path: '/sign-in',
      beforeLoad: onlySignedOut,
      component: lazyRouteComponent(() => import('../auth/sign-in-page.tsx'), 'SignInPage'),
    }),
    createRoute({
      getParentRoute: () => authRoute,
      path: '/sign-up',
      beforeLoad: onlySignedOut,
      component: lazyRouteComponent(() => import('../auth/sign-up-page.tsx'), 'SignUpPage'),
    }),
    createRoute({
      getParentRoute: () => authRoute,
      path: '/confirm',
      component: lazyRouteComponent(() => import('../auth/confirm-page.tsx'), 'ConfirmPage'),
    }),
    createRoute({
      getParentRoute: () => authRoute,
      path: '/forgot',
      component: lazyRouteComponent(() => import('../auth/forgot-page.tsx'), 'ForgotPage'),
    }),
    createRoute({
      getParentRoute: () => authRoute,
      path: '/reset',
      component: lazyRouteComponent(() => import('../auth/reset-page.tsx'), 'ResetPage'),
    }),
  ]),
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
