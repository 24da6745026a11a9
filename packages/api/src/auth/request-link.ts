import type { AuthError, GoTrueClient } from '@supabase/auth-js'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { networkOf } from '../limits/network.ts'
import { createCallersAuthClient } from './callers-auth-client.ts'
import { hashMailbox } from './mailbox.ts'
import { REFUSES_SERVER } from './sign-up-refusal.ts'

/**
 * Asks Supabase Auth to send a mail with a link, for a caller who is not signed in. The caller never learns whether the address has
 * an account: the answer and the statements are the same, and errors that Supabase Auth reports only for addresses with an account
 * go only to the log.
 *
 * Each request counts towards the limits for the client's network and for the mailbox, also one that sends no mail.
 *
 * @throws AppError `too_many_attempts`, `captcha_failed`, `auth_unavailable`.
 */
export async function requestLink(
  ctx: Context,
  email: string,
  send: (auth: GoTrueClient) => Promise<{ error: AuthError | null }>,
): Promise<void> {
  await ctx.limits.linkRequestsPerAddress.attempt(networkOf(ctx.clientAddress))
  await ctx.limits.linkRequestsPerMailbox.attempt(hashMailbox(email).toString('hex'))
  const { error } = await send(createCallersAuthClient(ctx))
  if (error === null) return
  const refusal = refusalForEveryAddress(error)
  if (refusal !== null) throw refusal
  ctx.log.warn({ err: error }, 'Supabase Auth sent no mail with a link')
}

/**
 * Returns the error for the client if Supabase Auth decides it before it looks for the user, otherwise null. An unknown error
 * counts as decided later. So does a timeout (504), because sending a mail can take long, and only a user gets a mail.
 */
function refusalForEveryAddress(error: AuthError): AppError | null {
  const { code, status = 0, cause = error } = error
  if (code === 'captcha_failed') return new AppError('captcha_failed', { cause })
  if (code === 'over_request_rate_limit' || (status === 429 && code === undefined))
    return new AppError('too_many_attempts', { cause })
  const isUnreachable = code === undefined && [0, 401, 502, 503].includes(status)
  return isUnreachable || REFUSES_SERVER.test(code ?? '') ? new AppError('auth_unavailable', { cause }) : null
}
