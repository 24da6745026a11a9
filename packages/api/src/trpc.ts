import { initTRPC } from '@trpc/server'
import { verifyServiceKey } from './auth/verify-service-key.ts'
import type { Context } from './context.ts'
import { describeError } from './errors.ts'
import { requestIds } from './request-id.ts'
import { inAccount } from './scope.ts'

/** The interval between two pings on a stream. Proxies close an idle connection, but only after a longer time. */
const PING_INTERVAL_MS = 10_000

const t = initTRPC
  .context<Context>()
  .meta<{ description: string }>()
  .create({
    // If a client receives nothing for `reconnectAfterInactivityMs`, it considers the stream dead and opens another one.
    sse: {
      ping: { enabled: true, intervalMs: PING_INTERVAL_MS },
      client: { reconnectAfterInactivityMs: 2.5 * PING_INTERVAL_MS },
    },
    // Never send stack traces to a client, not even in development. The log contains them.
    isDev: false,
    // All errors of the router get their shape here.
    errorFormatter: ({ shape, error, ctx }) => {
      const { reason, message, issues, retryAfterSeconds } = describeError(error)
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
          retryAfterSeconds,
        },
      }
    },
  })

export const router = t.router
export const publicProcedure = t.procedure

/**
 * The base of every procedure for a signed-in person. `ctx.scope` contains a transaction on the person's own account. The
 * transaction is committed before the response is sent, and rolled back if the procedure fails. A query gets a read-only
 * transaction.
 */
export const signedInProcedure = t.procedure.use(async ({ ctx, type, next }) => {
  const { userId } = await ctx.verifyAccessToken(ctx.authorization)
  return await ctx.accountCalls.run(userId, () =>
    inAccount({ ...ctx, userId }, type === 'query' ? 'read only' : 'read write', async (scope) => {
      const result = await next({ ctx: { scope } })
      if (!result.ok) throw result.error
      return result
    }),
  )
})

/**
 * The base of every stream for a signed-in person. A stream can stay open for hours, so it has no transaction. Each read opens
 * its own transaction.
 */
export const signedInStream = t.procedure.use(
  async ({ ctx, next }) => await next({ ctx: { caller: await ctx.verifyAccessToken(ctx.authorization) } }),
)

/** The base of every procedure for the company's backend, which sends the service key. The input identifies the account. */
export const serviceProcedure = t.procedure.use(async ({ ctx, next }) => {
  verifyServiceKey(ctx.serviceKey, ctx.authorization)
  return await next()
})
