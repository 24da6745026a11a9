import { z } from 'zod'
import { NewKey } from './keys.ts'
import { Output, Timestamp } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

export const PASSWORD_LENGTH_MIN = 8
/** Supabase Auth uses bcrypt, which ignores everything after the first 72 bytes. */
export const PASSWORD_BYTES_MAX = 72
/** The maximum length of an e-mail address that mail can be sent to (RFC 5321). */
export const EMAIL_LENGTH_MAX = 254

export const Email = z
  .string()
  .trim()
  .max(EMAIL_LENGTH_MAX, `Use at most ${EMAIL_LENGTH_MAX} characters.`)
  .pipe(z.email('Enter an e-mail address, like name@example.com.'))

export const Password = z
  .string()
  .min(PASSWORD_LENGTH_MIN, `Use at least ${PASSWORD_LENGTH_MIN} characters.`)
  .refine(
    (password) => new TextEncoder().encode(password).length <= PASSWORD_BYTES_MAX,
    `Use at most ${PASSWORD_BYTES_MAX} bytes.`,
  )
  // Supabase Auth stores users in Postgres, and a text in Postgres cannot contain NUL.
  .refine((password) => password.isWellFormed() && !password.includes('\0'), 'Leave out control characters.')

export const SignUp = z.strictObject({ email: Email.refine(hasNoWholeSecret, HAS_WHOLE_SECRET), password: Password })
export type SignUp = z.infer<typeof SignUp>

/** The session from Supabase Auth. A client passes both tokens to `supabase.auth.setSession(…)` of supabase-js. */
export const Session = z.object({ accessToken: z.string(), refreshToken: z.string(), expiresAt: Timestamp })

/**
 * If the Supabase project requires e-mail confirmation, `session` and `defaultKey` are null. If the server could not create the
 * account or the key, only `defaultKey` is null. In both cases, the next call of `auth.provision` creates the account and the
 * key.
 */
export const SignUpOutput = Output.extend({
  user: z.object({ id: z.guid(), email: z.string() }),
  session: Session.nullable(),
  defaultKey: NewKey.nullable(),
})

/** If this call created the first key, `defaultKey` contains the key with its secret. Otherwise it is null. */
export const ProvisionOutput = Output.extend({ defaultKey: NewKey.nullable() })
