import { initTRPC } from '@trpc/server'
import { verifyServiceKey } from './auth/verify-service-key.ts'
import type { Context } from './context.ts'
import { describeError } from './errors.ts'
import { requestIds } from './request-id.ts'
import { inAccount } from './scope.ts'

/** More often than proxies end connections that are idle. */
const PING_INTERVAL_MS = 10_000

const t = initTRPC
  .context<Context>()
  .meta<{ description: string }>()
  .create({
    // A client takes a stream that says nothing for longer for dead, and opens another.
    sse: {
      ping: { enabled: true, intervalMs: PING_INTERVAL_MS },
      client: { reconnectAfterInactivityMs: 2.5 * PING_INTERVAL_MS },
    },
    // Stack traces go to the log, never to a client, in development neither.
    isDev: false,
    // The one place that shapes errors.
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
 * A call by someone signed in: `ctx.scope` is one transaction on their own account, committed before the answer leaves
 * and rolled back when the procedure fails. Queries cannot write.
 */
export const signedInProcedure = t.procedure.use(async ({ ctx, type, next }) => {
  const { userId } = await ctx.verifyAccessToken(ctx.authorization)
  return await inAccount({ ...ctx, userId }, type === 'query' ? 'read only' : 'read write', async (scope) => {
    const result = await next({ ctx: { scope } })
    if (!result.ok) throw result.error
    return result
  })
})

/** A stream for someone signed in. It outlives any transaction: what it reads, it reads in transactions of their own. */
export const signedInStream = t.procedure.use(
  async ({ ctx, next }) => await next({ ctx: { caller: await ctx.verifyAccessToken(ctx.authorization) } }),
)

/** A call by the company's own backend, which speaks for whichever account its input's API key belongs to. */
export const serviceProcedure = t.procedure.use(async ({ ctx, next }) => {
  verifyServiceKey(ctx.serviceKey, ctx.authorization)
  return await next()
})
