import {
  Charge,
  ChargeOutput,
  Hold,
  HoldOutput,
  Refund,
  RefundOutput,
  Release,
  ReleaseOutput,
  Settle,
  SettleOutput,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { serviceProcedure } from '../trpc.ts'

export const meteringRouter = {
  charge: serviceProcedure
    .meta({
      description: 'Verifies a key and takes credits for it. 0 credits only verify the key.',
    })
    .input(Charge)
    .output(ChargeOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.charge(input))),

  hold: serviceProcedure
    .meta({
      description:
        'Takes credits before work whose cost is known only afterwards. The hold ends when it is settled or released, or when it expires.',
    })
    .input(Hold)
    .output(HoldOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.hold(input))),

  settle: serviceProcedure
    .meta({
      description: 'Charges the actual cost of the work against a hold, and gives the remaining credits of the hold back.',
    })
    .input(Settle)
    .output(SettleOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.settle(input))),

  release: serviceProcedure
    .meta({ description: 'Ends a hold without a charge, and gives all its credits back.' })
    .input(Release)
    .output(ReleaseOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.release(input))),

  refund: serviceProcedure
    .meta({
      description:
        'Gives back credits of a charge: some of them or all. If the cycle of the charge has ended, they become a top-up.',
    })
    .input(Refund)
    .output(RefundOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, ctx.metering.refund(input))),
} satisfies TRPCRouterRecord
