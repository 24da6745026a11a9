import { BillingAccountAnswer } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { signedInProcedure } from '../trpc.ts'
import { getAccount } from './get-account.ts'

export const billingRouter = {
  get: signedInProcedure
    .meta({ description: 'The billing account: plan, credits a cycle, credits used in the current one.' })
    .output(BillingAccountAnswer)
    .query(async ({ ctx }) => ({ account: await getAccount(ctx.scope), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
