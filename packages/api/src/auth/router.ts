import { ProvisionOutput, SignUp, SignUpOutput } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { publicProcedure, signedInProcedure } from '../trpc.ts'
import { provision } from './provision.ts'
import { signUp } from './sign-up.ts'

export const authRouter = {
  signup: publicProcedure
    .meta({ description: 'Signs up with an e-mail address and a password. Returns a session and the first key.' })
    .input(SignUp)
    .output(SignUpOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, signUp(ctx, input))),

  provision: signedInProcedure
    .meta({
      description:
        'Creates the billing account and its first key, if they do not exist. Call it once in each session, after sign-in.',
    })
    .output(ProvisionOutput)
    .mutation(async ({ ctx }) => ({ defaultKey: await provision(ctx.scope), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
