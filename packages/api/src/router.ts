import type { inferRouterError } from '@trpc/server'
import { accountsRouter } from './accounts/router.ts'
import { alertsRouter } from './alerts/router.ts'
import { auditRouter } from './audit/router.ts'
import { authRouter } from './auth/router.ts'
import { billingRouter } from './billing/router.ts'
import { keysRouter } from './keys/router.ts'
import { membersRouter } from './members/router.ts'
import { meteringRouter } from './metering/router.ts'
import { operatorRouter } from './operator/router.ts'
import { router } from './trpc.ts'
import { usageRouter } from './usage/router.ts'

export const appRouter = router({
  accounts: accountsRouter,
  alerts: alertsRouter,
  audit: auditRouter,
  auth: authRouter,
  billing: billingRouter,
  keys: keysRouter,
  members: membersRouter,
  metering: meteringRouter,
  operator: operatorRouter,
  usage: usageRouter,
})

export type AppRouter = typeof appRouter
export type ErrorData = inferRouterError<AppRouter>['data']
