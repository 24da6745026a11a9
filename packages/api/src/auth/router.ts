import {
  DeleteMe,
  DeleteMeOutput,
  ProvisionOutput,
  RequestLink,
  RequestLinkOutput,
  SignUp,
  SignUpOutput,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { publicProcedure, signedInCall } from '../trpc.ts'
import { deleteMe } from './delete-me.ts'
import { provisionCaller } from './provision-caller.ts'
import { requestPasswordReset } from './request-password-reset.ts'
import { resendConfirmation } from './resend-confirmation.ts'
import { signUp } from './sign-up.ts'

export const authRouter = {
  signup: publicProcedure
    .meta({ description: 'Signs up with an e-mail address and a password. Returns a session and the first key.' })
    .input(SignUp)
    .output(SignUpOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, signUp(ctx, input))),

  requestPasswordReset: publicProcedure
    .meta({
      description:
        'Sends a mail with a link for a new password, if the address has an account. The answer is the same if it has none.',
    })
    .input(RequestLink)
    .output(RequestLinkOutput)
    .mutation(async ({ ctx, input }) => {
      await requestPasswordReset(ctx, input)
      return { requestId: ctx.requestId }
    }),

  resendConfirmation: publicProcedure
    .meta({
      description:
        'Sends another mail with the link that confirms an address, if the address waits for it. The answer is always the same.',
    })
    .input(RequestLink)
    .output(RequestLinkOutput)
    .mutation(async ({ ctx, input }) => {
      await resendConfirmation(ctx, input)
      return { requestId: ctx.requestId }
    }),

  provision: signedInCall
    .meta({
      description:
        'Returns the accounts of the person. On the first visit of a person without an invitation, it first opens an account with a first key. Call it once in each session, after sign-in.',
    })
    .output(ProvisionOutput)
    .mutation(({ ctx }) => withRequestId(ctx, provisionCaller(ctx, ctx.caller))),

  deleteMe: signedInCall
    .meta({
      description:
        'Deletes the sign-in of the person, and the accounts without another owner, if the person confirms them. Leaves all other accounts.',
    })
    .input(DeleteMe)
    .output(DeleteMeOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, deleteMe(ctx, ctx.caller, input))),
} satisfies TRPCRouterRecord
