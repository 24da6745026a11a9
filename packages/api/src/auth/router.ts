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
        'Returns the accounts of the person. If the person has none, it first opens an account with a first key. Call it once in each session, after sign-in.',
    })
    .output(ProvisionOutput)
    .mutation(({ ctx }) => withRequestId(ctx, provisionCaller(ctx, ctx.caller))),
} satisfies TRPCRouterRecord
