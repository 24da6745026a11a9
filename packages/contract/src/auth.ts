import { z } from 'zod'
import { Answer, Timestamp } from './answer.ts'
import { NewKey } from './keys.ts'

export const PASSWORD_LENGTH_MIN = 8
/** Supabase Auth hashes with bcrypt, which reads 72 bytes; more would be cut off in silence. */
export const PASSWORD_BYTES_MAX = 72
/** RFC 5321: the longest address that mail can be sent to. */
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
  // Postgres, which Supabase Auth keeps its users in, has no text with a NUL in it.
  .refine((password) => password.isWellFormed() && !password.includes('\0'), 'Leave out control characters.')

export const SignUp = z.strictObject({ email: Email, password: Password })
export type SignUp = z.infer<typeof SignUp>

/** Supabase's own tokens, for supabase-js: `supabase.auth.setSession(…)`. */
export const Session = z.object({ accessToken: z.string(), refreshToken: z.string(), expiresAt: Timestamp })

/**
 * `session` is null when the project asks for e-mail confirmation first. `defaultKey` is null then too, and when
 * provisioning failed: the next `auth.provision` heals that.
 */
export const SignUpAnswer = Answer.extend({
  user: z.object({ id: z.guid(), email: z.string() }),
  session: Session.nullable(),
  defaultKey: NewKey.nullable(),
})

/** `defaultKey`, with its secret, for the one call that made it; null for every other. */
export const ProvisionAnswer = Answer.extend({ defaultKey: NewKey.nullable() })
