import { BillingAccountOutput, GetLedger, LedgerOutput } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { signedInProcedure } from '../trpc.ts'
import { getAccount } from './get-account.ts'
import { getLedger } from './ledger.ts'

export const billingRouter = {
  get: signedInProcedure
    .meta({
      description:
        'Returns the billing account: its plan, and the credits of the current cycle (granted, topped up, used, held, remaining).',
    })
    .output(BillingAccountOutput)
    .query(async ({ ctx }) => ({ account: await getAccount(ctx.scope), requestId: ctx.requestId })),

  ledger: signedInProcedure
    .meta({
      description: 'Lists everything that changed the balance in a billing cycle: grants, top-ups, charges by day, refunds.',
    })
    .input(GetLedger.default(GetLedger.parse({})))
    .output(LedgerOutput)
    .query(({ ctx, input }) => withRequestId(ctx, getLedger(ctx.scope, input))),
} satisfies TRPCRouterRecord
