import { randomUUID } from 'node:crypto'
import type { NewKey, SignUp, SignUpOutput } from '@keymeter/contract'
import type { z } from 'zod'
import { decideFreeCredits } from '../billing/free-credits.ts'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { networkOf } from '../limits/network.ts'
import { isInvited } from '../members/is-invited.ts'
import { asPerson, inAccount } from '../scope.ts'
import { createCallersAuthClient } from './callers-auth-client.ts'
import { type Person, personOf } from './check-session.ts'
import { linkTarget } from './link-target.ts'
import { hashMailbox } from './mailbox.ts'
import { provision } from './provision.ts'
import { signUpRefusal } from './sign-up-refusal.ts'

/**
 * Signs a person up with Supabase Auth, and creates the account and its first key. If the account or the key cannot be
 * created, the sign-up still succeeds. The failure is logged, and the next call of `auth.provision` creates them.
 *
 * A person with an open invitation to this address gets no account and no key: the invitation leads to the account of somebody else.
 *
 * Each attempt counts towards the limits for the client's network and for the mailbox, also an attempt that Supabase Auth refuses.
 *
 * @throws AppError `too_many_attempts`, and the errors of `signUpRefusal`.
 */
export async function signUp(
  ctx: Context,
  { email, password, next, captchaToken }: SignUp,
): Promise<Omit<z.infer<typeof SignUpOutput>, 'requestId'>> {
  await ctx.limits.signUpsPerAddress.attempt(networkOf(ctx.clientAddress))
  await ctx.limits.signUpsPerMailbox.attempt(hashMailbox(email).toString('hex'))
  const auth = createCallersAuthClient(ctx)
  const request = {
    email,
    password,
    options: { ...linkTarget(ctx, next, 'emailRedirectTo'), ...(captchaToken !== undefined && { captchaToken }) },
  }
  let { data, error } = await auth.signUp(request)
  // If two requests sign up the same address concurrently, the second request violates a unique key of Supabase and gets status
  // 500. A retry gets the actual reason: the address is taken.
  if (error?.status === 500) ({ data, error } = await auth.signUp(request))
  // Supabase Auth limits the mails to an address, but sends no mail to an address that has an account. So this error would show
  // that the address has none. The answer is the same as for an address that has an account: an invented user and no session.
  if (error?.code === 'over_email_send_rate_limit') {
    ctx.log.warn({ err: error }, 'Supabase Auth sent no mail for a sign-up, because it has sent too many')
    return withoutSession(email)
  }
  if (error !== null) throw signUpRefusal(error)
  if (data.user === null)
    throw new AppError('auth_unavailable', { message: 'The auth server did not return a user: try again shortly.' })

  // If there is no session, the project requires e-mail confirmation first. Do not create an account here: for an address that
  // is already taken, Supabase returns an invented user.
  if (data.session === null) return withoutSession(email)
  const user = { id: data.user.id, email: data.user.email ?? email }

  const { access_token, refresh_token, expires_at, expires_in } = data.session
  const expiresAt = new Date(expires_at === undefined ? Date.now() + expires_in * 1000 : expires_at * 1000)
  return {
    user,
    session: { accessToken: access_token, refreshToken: refresh_token, expiresAt: expiresAt.toISOString() },
    // People who sign in with an OAuth provider never call `signUp`. For them, the dashboard calls `auth.provision` when it first loads a
    // session.
    defaultKey: await provisionOrWarn(ctx, user.id, personOf(data.user)),
  }
}

/**
 * Returns the answer to a person who must confirm the address first. The id is invented. For a taken address, Supabase Auth invents
 * another id each time. So two sign-ups with the real id of a new user would show that the address was free.
 */
function withoutSession(email: string) {
  return { user: { id: randomUUID(), email: email.toLowerCase() }, session: null, defaultKey: null }
}

async function provisionOrWarn(ctx: Context, userId: string, person: Person): Promise<NewKey | null> {
  try {
    const caller = { userId, email: person.email, isSecondFactor: false }
    if (await asPerson({ ...ctx, caller }, 'read only', async (scope) => await isInvited(scope, person))) return null
    const freeCredits = decideFreeCredits(ctx.freeCredits, person)
    const call = { ...ctx, userId, by: { caller, call: 'auth.provision' as const } }
    return await inAccount(call, 'read write', async (scope) => await provision(scope, freeCredits))
  } catch (error) {
    ctx.log.warn({ err: error, userId }, 'a person signed up, but provisioning failed: the next auth.provision repeats it')
    return null
  }
}
