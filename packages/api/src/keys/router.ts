import { CreateKey, CreateKeyAnswer, KeyUsageAnswer, ListKeysAnswer, RevokeKey, RevokeKeyAnswer } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { ensureAccount } from '../billing/ensure-account.ts'
import { signedInProcedure } from '../trpc.ts'
import { createKey } from './create.ts'
import { KEY_COLUMNS, toKey } from './key.ts'
import { revokeKey } from './revoke.ts'
import { keyUsage } from './usage.ts'

export const keysRouter = {
  create: signedInProcedure
    .meta({ description: 'Creates a key. The answer is the only one that ever holds its secret.' })
    .input(CreateKey)
    .output(CreateKeyAnswer)
    .mutation(async ({ ctx, input }) => {
      await ensureAccount(ctx.scope)
      return { ...(await createKey(ctx.scope, input)), requestId: ctx.requestId }
    }),

  list: signedInProcedure
    .meta({ description: 'The live keys, newest first.' })
    .output(ListKeysAnswer)
    .query(async ({ ctx }) => {
      const rows = await ctx.scope.db
        .selectFrom('api_keys')
        .select(KEY_COLUMNS)
        .where('user_id', '=', ctx.scope.userId)
        .where('revoked_at', 'is', null)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .execute()
      return { data: rows.map(toKey), requestId: ctx.requestId }
    }),

  usage: signedInProcedure
    .meta({ description: 'The live keys, newest first, with what each spent in the current billing cycle.' })
    .output(KeyUsageAnswer)
    .query(async ({ ctx }) => ({ ...(await keyUsage(ctx.scope)), requestId: ctx.requestId })),

  revoke: signedInProcedure
    .meta({ description: 'Revokes a key for good. Doing it again answers the same.' })
    .input(RevokeKey)
    .output(RevokeKeyAnswer)
    .mutation(async ({ ctx, input }) => ({ ...(await revokeKey(ctx.scope, input)), requestId: ctx.requestId })),
} satisfies TRPCRouterRecord
