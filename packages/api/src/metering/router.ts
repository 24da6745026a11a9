import {
  Charge,
  ChargeAnswer,
  Hold,
  HoldAnswer,
  Refund,
  RefundAnswer,
  Release,
  ReleaseAnswer,
  Settle,
  SettleAnswer,
} from '@keymeter/contract'
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

  hold: serviceProcedure
    .meta({ description: 'Takes credits ahead of work whose cost is known only afterwards, for a while.' })
    .input(Hold)
    .output(HoldAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await ctx.metering.hold(input)), requestId: ctx.requestId })),

  settle: serviceProcedure
    .meta({ description: 'Charges what the work cost of what is held for it, and gives the rest back.' })
    .input(Settle)
    .output(SettleAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await ctx.metering.settle(input)), requestId: ctx.requestId })),

  release: serviceProcedure
    .meta({ description: 'Gives back all that is held.' })
    .input(Release)
    .output(ReleaseAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await ctx.metering.release(input)), requestId: ctx.requestId })),

  refund: serviceProcedure
    .meta({ description: 'Gives back credits of a charge, whole or in part; of a cycle that has ended as a top-up.' })
    .input(Refund)
    .output(RefundAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await ctx.metering.refund(input)), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
