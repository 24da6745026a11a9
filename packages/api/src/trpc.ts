import { initTRPC } from '@trpc/server'
import { verifyServiceKey } from './auth/verify-service-key.ts'
import type { Context } from './context.ts'
import { describeError } from './errors.ts'
import { requestIds } from './request-id.ts'
import { inAccount } from './scope.ts'

/** Shorter than the time after which proxies close an idle connection. */
const PING_INTERVAL_MS = 10_000

const t = initTRPC
  .context<Context>()
  .meta<{ description: string }>()
  .create({
    // A client that receives nothing for longer than this considers the stream dead, and opens a new one.
    sse: {
      ping: { enabled: true, intervalMs: PING_INTERVAL_MS },
      client: { reconnectAfterInactivityMs: 2.5 * PING_INTERVAL_MS },
    },
    // Stack traces only go to the log, also in development.
    isDev: false,
    // Nothing else shapes errors.
    errorFormatter: ({ shape, error, ctx }) => {
      const { reason, message, issues } = describeError(error)
      return {
        code: shape.code,
        message,
        data: {
          code: shape.data.code,
          httpStatus: shape.data.httpStatus,
          path: shape.data.path,
          requestId: ctx?.requestId ?? requestIds.getStore() ?? null,
          reason,
          issues,
        },
      }
    },
  })

export const router = t.router
export const publicProcedure = t.procedure

/**
 * A call by a signed-in person. `ctx.scope` is one transaction on the person's own account. It is committed before the answer
 * is sent, and rolled back when the procedure fails. The transaction of a query is read-only.
 */
export const signedInProcedure = t.procedure.use(async ({ ctx, type, next }) => {
  const { userId } = await ctx.verifyAccessToken(ctx.authorization)
  return await inAccount({ ...ctx, userId }, type === 'query' ? 'read only' : 'read write', async (scope) => {
    const result = await next({ ctx: { scope } })
    if (!result.ok) throw result.error
    return result
  })
})

/** A stream for a signed-in person. It has no transaction, because it may stay open for hours: each read needs its own. */
export const signedInStream = t.procedure.use(
  async ({ ctx, next }) => await next({ ctx: { caller: await ctx.verifyAccessToken(ctx.authorization) } }),
)

/** A call by the company's backend, which proves itself with the service key. The input names the account. */
export const serviceProcedure = t.procedure.use(async ({ ctx, next }) => {
  verifyServiceKey(ctx.serviceKey, ctx.authorization)
  return await next()
})
