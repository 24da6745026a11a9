import { Charge, ChargeAnswer } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { serviceProcedure } from '../trpc.ts'

export const meteringRouter = {
  charge: serviceProcedure
    .meta({
      description: 'Asks whether a key is good and takes credits for it; 0 credits only verify. For the company’s own backend.',
    })
    .input(Charge)
    .output(ChargeAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await ctx.metering.charge(input)), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
