import { cutSecrets, isMemberCall, type MemberCall, UpdateKey } from '@keymeter/contract'
import { initTRPC } from '@trpc/server'
import { accountOfCall } from './auth/account-of-call.ts'
import { requireRecentSignIn } from './auth/require-recent-sign-in.ts'
import type { VerifiedToken } from './auth/verify-access-token.ts'
import { verifyServiceKey } from './auth/verify-service-key.ts'
import { decideFreeCredits, UNDECIDED } from './billing/free-credits.ts'
import type { Context } from './context.ts'
import { describeError } from './errors.ts'
import type { Limits } from './limits/limits.ts'
import { changeMembers } from './members/change-members.ts'
import { requestIds } from './request-id.ts'
import { type Caller, inAccount, type Scope } from './scope.ts'

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
          // For an unknown procedure, the client has chosen the path.
          path: shape.data.path && cutSecrets(shape.data.path),
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
 * Returns the call of a member on the account that the client chose.
 *
 * @throws Error if the table of roles (access.ts) does not contain the procedure, so a forgotten procedure is open to nobody.
 */
export function memberCall(ctx: Context, path: string, caller: Caller) {
  if (!isMemberCall(path)) throw new Error(`access.ts does not contain ${path}`)
  return { ...ctx, userId: accountOfCall(ctx, caller), by: { caller, call: path satisfies MemberCall } }
}

/**
 * The base of every procedure on an account. `ctx.scope` contains a transaction on the account. The transaction is committed before
 * the response is sent, and rolled back if the procedure fails. A query gets a read-only transaction.
 */
export const signedInProcedure = t.procedure.use(async ({ ctx, path, type, next }) => {
  const call = memberCall(ctx, path, await ctx.verifyAccessToken(ctx.authorization))
  return await inAccount(call, type === 'query' ? 'read only' : 'read write', async (scope) => {
    const result = await next({ ctx: { scope } })
    if (!result.ok) throw result.error
    return result
  })
})

/**
 * The base of the procedures for a signed-in person that open their transactions themselves: streams, which can stay open for
 * hours, and calls that first ask the auth server.
 */
export const signedInCall = t.procedure.use(
  async ({ ctx, next }) => await next({ ctx: { caller: await ctx.verifyAccessToken(ctx.authorization) } }),
)

interface ChangeOptions {
  accountLimits?: (keyof Limits)[]
  personLimits?: (keyof Limits)[]
  checksSession: boolean
  needsRecentSignIn?: boolean
  /** True if the procedure can change who is a member (`changeMembers`). */
  changesMembers?: boolean
}

/**
 * The base of every procedure that changes keys. It is like `signedInProcedure`, but each call first counts towards `accountLimits`,
 * which all members of the account share, and `personLimits`. The calls that stop a secret or remove a member count only for the
 * person: otherwise a member could use up the limit, and nobody could stop this member. Then a procedure with `checksSession` asks the
 * auth server whether the session still exists. Both happen before the transaction, so a refused call or a slow auth server does not
 * occupy a connection. Only the calls of members count. Otherwise everybody could use up the limits of every account. A procedure with
 * `needsRecentSignIn` first refuses a caller whose sign-in is too old. Such a call does not count, because the dashboard repeats it.
 *
 * `ctx.freeCredits` is for a procedure that can create the account.
 */
function changeProcedure(options: ChangeOptions) {
  return signedInCall.use(async ({ ctx, path, next }) => {
    const { call, freeCredits } = await beginChange(ctx, ctx.caller, path, options)
    const change = async (scope: Scope) => {
      const result = await next({ ctx: { scope, freeCredits } })
      if (!result.ok) throw result.error
      return result
    }
    return await (options.changesMembers ? changeMembers(call, change) : inAccount(call, 'read write', change))
  })
}

/** Does what a `changeProcedure` does before its transaction. */
async function beginChange(
  ctx: Context,
  caller: VerifiedToken,
  path: string,
  { accountLimits = [], personLimits = [], checksSession, needsRecentSignIn = false }: ChangeOptions,
) {
  const call = memberCall(ctx, path, caller)
  await inAccount(call, 'read only', async () => {})
  if (needsRecentSignIn) requireRecentSignIn(caller)
  for (const limit of accountLimits) await ctx.limits[limit].attempt(call.userId)
  for (const limit of personLimits) await ctx.limits[limit].attempt(caller.userId)
  const person = checksSession ? await ctx.checkSession(ctx.authorization, caller.userId) : null
  // The free credits of an account belong to the mailbox of the person who opened it.
  const isOwn = call.userId === caller.userId
  const freeCredits = person !== null && isOwn ? decideFreeCredits(ctx.freeCredits, person) : UNDECIDED
  return { call, freeCredits }
}

/** The base of every procedure that changes a key or the account without a new secret. A signed-out user can call it. */
export const editProcedure = changeProcedure({ accountLimits: ['keyChanges'], checksSession: false })
/**
 * The base of `keys.update`. A new expiry can make the secrets of an expired key work again, or for longer. So such a call needs what
 * a `secretProcedure` needs.
 */
export const updateKeyProcedure = signedInCall.input(UpdateKey).use(async ({ ctx, path, input, next }) => {
  const setsExpiry = input.expiresAt !== undefined
  const options = { accountLimits: ['keyChanges' as const], checksSession: setsExpiry, needsRecentSignIn: setsExpiry }
  const { call } = await beginChange(ctx, ctx.caller, path, options)
  return await inAccount(call, 'read write', async (scope) => {
    const result = await next({ ctx: { scope } })
    if (!result.ok) throw result.error
    return result
  })
})
/** The base of every procedure that gives a key a new secret, or that makes a secret work again. */
export const secretProcedure = changeProcedure({ accountLimits: ['keyChanges'], checksSession: true, needsRecentSignIn: true })
export const newKeyProcedure = changeProcedure({
  accountLimits: ['newKeys', 'keyChanges'],
  checksSession: true,
  needsRecentSignIn: true,
})
/** The base of every procedure that changes the members or the settings of the account. */
export const memberChangeProcedure = changeProcedure({
  personLimits: ['memberChanges'],
  checksSession: true,
  needsRecentSignIn: true,
  changesMembers: true,
})
/** Like `memberChangeProcedure`, but the procedure opens the transaction of `ctx.call` itself, because it also acts after the commit. */
export const inviteProcedure = signedInCall.use(async ({ ctx, path, next }) => {
  const { call } = await beginChange(ctx, ctx.caller, path, {
    personLimits: ['invitations', 'memberChanges'],
    checksSession: true,
    needsRecentSignIn: true,
  })
  return await next({ ctx: { call } })
})
/**
 * The bases of the procedures that stop a secret. They have a limit of their own, so that a leaked secret can be stopped after all
 * other changes are used up. `stopProcedure` does not need the auth server, so a key can be disabled during its outage.
 */
export const revokeProcedure = changeProcedure({ personLimits: ['keyRevokes'], checksSession: true })
export const stopProcedure = changeProcedure({ personLimits: ['keyRevokes'], checksSession: false })

/** The base of every procedure for the company's backend, which sends the service key. The input identifies the account. */
export const serviceProcedure = t.procedure.use(async ({ ctx, next }) => {
  await verifyServiceKey(ctx)
  return await next()
})
