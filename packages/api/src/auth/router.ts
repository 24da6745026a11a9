import { ProvisionOutput, SignUp, SignUpOutput } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { publicProcedure, signedInCall } from '../trpc.ts'
import { provisionCaller } from './provision-caller.ts'
import { signUp } from './sign-up.ts'

export const authRouter = {
  signup: publicProcedure
    .meta({ description: 'Signs up with an e-mail address and a password. Returns a session and the first key.' })
    .input(SignUp)
    .output(SignUpOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, signUp(ctx, input))),

  provision: signedInCall
    .meta({
      description:
        'Creates the billing account and its first key, if they do not exist. Call it once in each session, after sign-in.',
    })
    .output(ProvisionOutput)
    .mutation(async ({ ctx }) => ({ defaultKey: await provisionCaller(ctx, ctx.caller.userId), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
