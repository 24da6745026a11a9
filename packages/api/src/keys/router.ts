import {
  ConfirmSecretSaved,
  CreateKey,
  KeyAnswer,
  KeyRef,
  KeyUsage,
  KeyUsageAnswer,
  KeyWithUsageAnswer,
  ListKeys,
  ListKeysAnswer,
  NewKeyAnswer,
  ReplaceLostSecret,
  RotateKey,
  UpdateKey,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { signedInProcedure } from '../trpc.ts'
import { confirmSecretSaved } from './confirm-secret-saved.ts'
import { createKey } from './create.ts'
import { disableKey, enableKey } from './disable.ts'
import { endGrace } from './end-grace.ts'
import { getKeyWithUsage } from './get.ts'
import { listKeys } from './list.ts'
import { replaceLostSecret } from './replace-lost-secret.ts'
import { revokeKey } from './revoke.ts'
import { rotateKey } from './rotate.ts'
import { updateKey } from './update.ts'
import { keyUsage } from './usage.ts'

export const keysRouter = {
  create: signedInProcedure
    .meta({ description: 'Creates a key. The answer is the only one that ever holds its secret.' })
    .input(CreateKey)
    .output(NewKeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, createKey(ctx.scope, input))),

  get: signedInProcedure
    .meta({ description: 'One key, whatever its status, with what it spent in the current billing cycle.' })
    .input(KeyRef)
    .output(KeyWithUsageAnswer)
    .query(({ ctx, input }) => withRequestId(ctx, getKeyWithUsage(ctx.scope, input.id))),

  list: signedInProcedure
    .meta({ description: 'The live keys, newest first; or those of a status, searched, in another order; in pages.' })
    .input(ListKeys.default(ListKeys.parse({})))
    .output(ListKeysAnswer)
    .query(({ ctx, input }) => withRequestId(ctx, listKeys(ctx.scope, input))),

  usage: signedInProcedure
    .meta({
      description: 'All live keys, newest first, with what each spent in the current billing cycle, or in an earlier one.',
    })
    .input(KeyUsage.default({}))
    .output(KeyUsageAnswer)
    .query(({ ctx, input }) => withRequestId(ctx, keyUsage(ctx.scope, input))),

  update: signedInProcedure
    .meta({ description: 'Changes a key’s name, its expiry or its limit for a billing cycle. What is left out stays.' })
    .input(UpdateKey)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, updateKey(ctx.scope, input))),

  disable: signedInProcedure
    .meta({ description: 'Switches a key off until it is enabled again.' })
    .input(KeyRef)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, disableKey(ctx.scope, input))),

  enable: signedInProcedure
    .meta({ description: 'Switches a disabled key on again.' })
    .input(KeyRef)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, enableKey(ctx.scope, input))),

  rotate: signedInProcedure
    .meta({ description: 'Gives a key a new secret, shown this once. The one before still works for the grace period.' })
    .input(RotateKey)
    .output(NewKeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, rotateKey(ctx.scope, input))),

  endGrace: signedInProcedure
    .meta({ description: 'Ends the grace period of a rotated key’s older secret now.' })
    .input(KeyRef)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, endGrace(ctx.scope, input))),

  confirmSecretSaved: signedInProcedure
    .meta({ description: 'Says that the secret has been saved, so that it is not offered anew.' })
    .input(ConfirmSecretSaved)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, confirmSecretSaved(ctx.scope, input))),

  replaceLostSecret: signedInProcedure
    .meta({ description: 'Makes a new secret in place of one that was neither saved nor ever used.' })
    .input(ReplaceLostSecret)
    .output(NewKeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, replaceLostSecret(ctx.scope, input))),

  revoke: signedInProcedure
    .meta({ description: 'Revokes a key for good. Doing it again answers the same.' })
    .input(KeyRef)
    .output(KeyAnswer)
    .mutation(({ ctx, input }) => withRequestId(ctx, revokeKey(ctx.scope, input))),
} satisfies TRPCRouterRecord
