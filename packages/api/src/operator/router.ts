import {
  ChangePlan,
  ChangePlanAnswer,
  GrantTopUp,
  GrantTopUpAnswer,
  OperatedAccountAnswer,
  SuspendAccount,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { serviceProcedure } from '../trpc.ts'
import { changePlan } from './change-plan.ts'
import { grantTopUp } from './grant-top-up.ts'
import { operate } from './operate.ts'
import { resumeAccount, suspendAccount } from './suspend.ts'

/** What the company does to its customers' accounts. */
export const operatorRouter = {
  grantTopUp: serviceProcedure
    .meta({ description: 'Gives an account credits that it keeps until they are spent, for example once it has paid.' })
    .input(GrantTopUp)
    .output(GrantTopUpAnswer)
    .mutation(async ({ ctx, input: { accountId, ...grant } }) => {
      const { result, account } = await operate(ctx, accountId, async (scope) => await grantTopUp(scope, grant))
      const { grantedAt, replayed } = result
      return { grantedAt: grantedAt.toISOString(), credits: grant.credits, replayed, account, requestId: ctx.requestId }
    }),

  changePlan: serviceProcedure
    .meta({
      description: 'Puts an account on another plan: one with more credits at once, one with fewer from the next cycle on.',
    })
    .input(ChangePlan)
    .output(ChangePlanAnswer)
    .mutation(async ({ ctx, input: { accountId, plan } }) => {
      const { result, account } = await operate(ctx, accountId, async (scope) => await changePlan(scope, plan))
      return { effectiveAt: result.toISOString(), account, requestId: ctx.requestId }
    }),

  suspend: serviceProcedure
    .meta({ description: 'Refuses every charge of an account from now on.' })
    .input(SuspendAccount)
    .output(OperatedAccountAnswer)
    .mutation(async ({ ctx, input: { accountId } }) => {
      const { account } = await operate(ctx, accountId, suspendAccount)
      return { account, requestId: ctx.requestId }
    }),

  resume: serviceProcedure
    .meta({ description: 'Takes a suspension back.' })
    .input(SuspendAccount)
    .output(OperatedAccountAnswer)
    .mutation(async ({ ctx, input: { accountId } }) => {
      const { account } = await operate(ctx, accountId, resumeAccount)
      return { account, requestId: ctx.requestId }
    }),
} satisfies TRPCRouterRecord
