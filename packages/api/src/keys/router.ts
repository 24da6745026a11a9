import {
  ConfirmSecretSaved,
  CreateKey,
  KeyOutput,
  KeyRef,
  KeyUsage,
  KeyUsageOutput,
  KeyWithUsageOutput,
  ListKeys,
  ListKeysOutput,
  NewKeyOutput,
  ReplaceLostSecret,
  RotateKey,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import {
  editProcedure,
  newKeyProcedure,
  revokeProcedure,
  secretProcedure,
  signedInProcedure,
  stopProcedure,
  updateKeyProcedure,
} from '../trpc.ts'
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
  create: newKeyProcedure
    .meta({
      description:
        'Creates a key. Only this answer contains the secret. A repeat with the same idempotency key returns the same key with another secret. Any expiry in the future is accepted, so the key can expire before the answer arrives.',
    })
    .input(CreateKey)
    .output(NewKeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, createKey(ctx.scope, input, ctx.freeCredits))),

  get: signedInProcedure
    .meta({ description: 'Returns one key with any status, and the credits that it used in the current billing cycle.' })
    .input(KeyRef)
    .output(KeyWithUsageOutput)
    .query(({ ctx, input }) => withRequestId(ctx, getKeyWithUsage(ctx.scope, input.id))),

  list: signedInProcedure
    .meta({
      description: 'Lists keys in pages: by default the live keys, newest first. The input can filter, search and sort them.',
    })
    .input(ListKeys.default(ListKeys.parse({})))
    .output(ListKeysOutput)
    .query(({ ctx, input }) => withRequestId(ctx, listKeys(ctx.scope, input))),

  usage: signedInProcedure
    .meta({
      description:
        'Lists all live keys, newest first, and the credits that each key used in the current billing cycle or in an earlier one.',
    })
    .input(KeyUsage.default({}))
    .output(KeyUsageOutput)
    .query(({ ctx, input }) => withRequestId(ctx, keyUsage(ctx.scope, input))),

  update: updateKeyProcedure
    .meta({
      description:
        'Changes the name, the expiry or the credit limit of a key. Missing fields stay unchanged. Any expiry in the future is accepted, so the key can expire before the answer arrives. A new expiry needs a recent sign-in, because it can make a secret work again.',
    })
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, updateKey(ctx.scope, input))),

  disable: stopProcedure
    .meta({ description: 'Disables a key until it is enabled again.' })
    .input(KeyRef)
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, disableKey(ctx.scope, input))),

  enable: secretProcedure
    .meta({
      description:
        'Enables a disabled key. If the key has expired, its status is then `expired`, and it still cannot be charged.',
    })
    .input(KeyRef)
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, enableKey(ctx.scope, input))),

  rotate: secretProcedure
    .meta({
      description:
        'Gives a key a new secret. Only this answer contains the new secret. The current secret still works for the grace period. Earlier grace periods do not change. An expired key needs a new expiry, and its current and previous secrets do not work again.',
    })
    .input(RotateKey)
    .output(NewKeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, rotateKey(ctx.scope, input))),

  endGrace: revokeProcedure
    .meta({ description: 'Immediately ends all previous secrets of a rotated key that still work.' })
    .input(KeyRef)
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, endGrace(ctx.scope, input))),

  confirmSecretSaved: editProcedure
    .meta({ description: 'Confirms that the secret is saved, so that the dashboard no longer offers to replace it.' })
    .input(ConfirmSecretSaved)
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, confirmSecretSaved(ctx.scope, input))),

  replaceLostSecret: secretProcedure
    .meta({
      description:
        'Replaces a lost secret: one that was neither confirmed as saved nor ever used. The lost secret ends immediately.',
    })
    .input(ReplaceLostSecret)
    .output(NewKeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, replaceLostSecret(ctx.scope, input))),

  revoke: revokeProcedure
    .meta({ description: 'Revokes a key, which cannot be undone. If the key is already revoked, nothing changes.' })
    .input(KeyRef)
    .output(KeyOutput)
    .mutation(({ ctx, input }) => withRequestId(ctx, revokeKey(ctx.scope, input))),
} satisfies TRPCRouterRecord
