import { z } from 'zod'
import { NewKey } from './keys.ts'
import { Output, Timestamp } from './output.ts'

export const PASSWORD_LENGTH_MIN = 8
/** Supabase Auth uses bcrypt, which ignores everything after the first 72 bytes. */
export const PASSWORD_BYTES_MAX = 72
/** The longest address that mail can be sent to (RFC 5321). */
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
  // Supabase Auth stores users in Postgres, whose texts cannot contain NUL.
  .refine((password) => password.isWellFormed() && !password.includes('\0'), 'Leave out control characters.')

export const SignUp = z.strictObject({ email: Email, password: Password })
export type SignUp = z.infer<typeof SignUp>

/** The tokens of Supabase Auth. supabase-js takes them in `supabase.auth.setSession(…)`. */
export const Session = z.object({ accessToken: z.string(), refreshToken: z.string(), expiresAt: Timestamp })

/**
 * `session` and `defaultKey` are null when the project requires e-mail confirmation first. `defaultKey` is also null when
 * provisioning failed. Then the next `auth.provision` creates the key.
 */
export const SignUpOutput = Output.extend({
  user: z.object({ id: z.guid(), email: z.string() }),
  session: Session.nullable(),
  defaultKey: NewKey.nullable(),
})

/** `defaultKey` has its secret in the one call that creates it, and is null in every other call. */
export const ProvisionOutput = Output.extend({ defaultKey: NewKey.nullable() })
