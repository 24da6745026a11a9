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
import { withRequestId } from '../request-id.ts'
import { serviceProcedure } from '../trpc.ts'

export const meteringRouter = {
  charge: serviceProcedure
    .meta({
      description: 'Asks whether a key is good and takes credits for it; 0 credits only verify. For the company’s own backend.',
    })
    .input(Charge)
    .output(ChargeAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.charge(input))),

  hold: serviceProcedure
    .meta({ description: 'Takes credits ahead of work whose cost is known only afterwards, for a while.' })
    .input(Hold)
    .output(HoldAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.hold(input))),

  settle: serviceProcedure
    .meta({ description: 'Charges what the work cost of what is held for it, and gives the rest back.' })
    .input(Settle)
    .output(SettleAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.settle(input))),

  release: serviceProcedure
    .meta({ description: 'Gives back all that is held.' })
    .input(Release)
    .output(ReleaseAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.release(input))),

  refund: serviceProcedure
    .meta({ description: 'Gives back credits of a charge, whole or in part; of a cycle that has ended as a top-up.' })
    .input(Refund)
    .output(RefundAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.refund(input))),
} satisfies TRPCRouterRecord
