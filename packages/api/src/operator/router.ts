import {
  ChangePlan,
  ChangePlanOutput,
  GrantTopUp,
  GrantTopUpOutput,
  OperatedAccountOutput,
  SuspendAccount,
  TakeBackTopUp,
  TakeBackTopUpOutput,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { serviceProcedure } from '../trpc.ts'
import { changePlan } from './change-plan.ts'
import { grantTopUp } from './grant-top-up.ts'
import { operate } from './operate.ts'
import { resumeAccount, suspendAccount } from './suspend.ts'
import { takeBackTopUp } from './take-back-top-up.ts'

export const operatorRouter = {
  grantTopUp: serviceProcedure
    .meta({ description: 'Adds credits that the account keeps until they are spent, e.g. after a payment.' })
    .input(GrantTopUp)
    .output(GrantTopUpOutput)
    .mutation(async ({ ctx, input: { accountId, ...grant } }) => {
      const { result, account } = await operate(ctx, accountId, async (scope) => await grantTopUp(scope, grant))
      const { grantedAt, replayed } = result
      return { grantedAt: grantedAt.toISOString(), credits: grant.credits, replayed, account, requestId: ctx.requestId }
    }),

  takeBackTopUp: serviceProcedure
    .meta({
      description:
        'Takes back what is left of a top-up, e.g. after a payment was reversed. Returns how many of its credits are already spent.',
    })
    .input(TakeBackTopUp)
    .output(TakeBackTopUpOutput)
    .mutation(async ({ ctx, input: { accountId, ...request } }) => {
      const { result, account } = await operate(ctx, accountId, async (scope) => await takeBackTopUp(scope, request))
      return { ...result, takenBackAt: result.takenBackAt.toISOString(), account, requestId: ctx.requestId }
    }),

  changePlan: serviceProcedure
    .meta({
      description:
        'Changes the plan of an account. A plan with fewer credits applies from the next cycle on, any other plan immediately.',
    })
    .input(ChangePlan)
    .output(ChangePlanOutput)
    .mutation(async ({ ctx, input: { accountId, plan } }) => {
      const { result, account } = await operate(ctx, accountId, async (scope) => await changePlan(scope, plan))
      return { effectiveAt: result.toISOString(), account, requestId: ctx.requestId }
    }),

  suspend: serviceProcedure
    .meta({
      description: 'Suspends an account: charges and holds are refused until it is resumed. Open holds can still be settled.',
    })
    .input(SuspendAccount)
    .output(OperatedAccountOutput)
    .mutation(async ({ ctx, input: { accountId } }) => {
      const { account } = await operate(ctx, accountId, suspendAccount)
      return { account, requestId: ctx.requestId }
    }),

  resume: serviceProcedure
    .meta({ description: 'Resumes a suspended account.' })
    .input(SuspendAccount)
    .output(OperatedAccountOutput)
    .mutation(async ({ ctx, input: { accountId } }) => {
      const { account } = await operate(ctx, accountId, resumeAccount)
      return { account, requestId: ctx.requestId }
    }),
} satisfies TRPCRouterRecord
