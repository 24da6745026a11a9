import type { AuthError, Session } from '@supabase/auth-js'
import { describeAuthError } from './credentials.ts'
import { type SecondFactor, secondFactorsOf } from './second-factor.ts'
import { auth, temporaryAuth } from './session.ts'

/** The token of the captcha, if this deployment has one. */
type CaptchaInput = { captchaToken?: string }

/** A step of a sign-in: it is complete, it needs a code of one of these apps, or it was refused with a sentence for the user. */
export type SignInStep = { done: true } | { factors: SecondFactor[] } | { fault: string }

/** Another sign-in of the user of a page. The session of this browser stays until the new sign-in is complete. */
export interface NewSignIn {
  withPassword(password: string, captcha: CaptchaInput): Promise<SignInStep>
  /** Sends a code to the address of the user. Resolves to null, or to a sentence for the user. */
  sendCode(captcha: CaptchaInput): Promise<string | null>
  withCode(code: string): Promise<SignInStep>
  /** Continues with the session that an OAuth provider has returned. */
  withSession(session: Session): Promise<SignInStep>
  withSecondFactor(factorId: string, code: string): Promise<SignInStep>
  /** Ends a sign-in that is not complete. */
  discard(): void
}

interface Person {
  userId: string
  email: string
  /** The access token of the session that the new sign-in replaces. Null if that session has ended. */
  previousToken: string | null
}

export function beginNewSignIn({ userId, email, previousToken }: Person): NewSignIn {
  const client = temporaryAuth()
  let isComplete = false
  const step = async (error: AuthError | null): Promise<SignInStep> => {
    if (error !== null) return { fault: describeAuthError(error) }
    const { session } = (await client.getSession()).data
    if (session === null || session.user.id !== userId)
      return { fault: 'This is another person than the one of the page. Sign in as the person of the page.' }
    const factors = secondFactorsOf(session)
    if (factors.length > 0) return { factors }
    const adopted = await auth.setSession(session)
    if (adopted.error !== null) return { fault: describeAuthError(adopted.error) }
    isComplete = true
    // Otherwise each new sign-in would leave a session behind. If this fails, the session ends later by itself.
    if (previousToken !== null) await auth.admin.signOut(previousToken, 'local')
    return { done: true }
  }
  return {
    withPassword: async (password, captcha) =>
      await step((await client.signInWithPassword({ email, password, options: captcha })).error),
    sendCode: async (captcha) => {
      const { error } = await client.signInWithOtp({ email, options: { shouldCreateUser: false, ...captcha } })
      return error && describeAuthError(error)
    },
    // Supabase Auth names a code from an e-mail `magiclink` or `email`. The embedded auth server knows only the first name.
    withCode: async (code) => await step((await client.verifyOtp({ email, token: code.trim(), type: 'magiclink' })).error),
    withSession: async (session) => await step((await client.setSession(session)).error),
    withSecondFactor: async (factorId, code) =>
      await step((await client.mfa.challengeAndVerify({ factorId, code: code.trim() })).error),
    discard: () => {
      if (!isComplete) void client.signOut({ scope: 'local' })
    },
  }
}
