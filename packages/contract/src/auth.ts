import { z } from 'zod'
import { NewKey } from './keys.ts'
import { MemberAccount } from './members.ts'
import { NEXT_PATH_LENGTH_MAX, nextPath } from './next-path.ts'
import { Output, Timestamp } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

export const PASSWORD_LENGTH_MIN = 8
/** Supabase Auth uses bcrypt, which ignores everything after the first 72 bytes. */
export const PASSWORD_BYTES_MAX = 72
/** The maximum length of an e-mail address that mail can be sent to (RFC 5321). */
export const EMAIL_LENGTH_MAX = 254
const TOO_LONG = `Use at most ${EMAIL_LENGTH_MAX} characters.`

/**
 * The form of the addresses that Supabase Auth accepts: the local part (before the @) in ASCII, and a domain name whose labels have
 * at most 63 characters. An IP address is not a domain name. A top-level domain can be international, e.g. `xn--p1ai`.
 */
const EMAIL =
  /^[a-z0-9_'+-]+(?:\.[a-z0-9_'+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])$/i
/** If a text contains one of these characters, `URL` would not read the whole text as a domain, or would decode it first. */
const NOT_IN_DOMAIN = /[\s\p{Cc}"#%/:<>?@[\\\]^`{|}]/u

/** An e-mail address. Its domain is converted to ASCII (`withAsciiDomain`). */
export const Email = z
  .string()
  .trim()
  .max(EMAIL_LENGTH_MAX, { error: TOO_LONG, abort: true })
  .overwrite(withAsciiDomain)
  // The ASCII form can be longer than the text that the person wrote. Mail servers limit the ASCII form.
  .max(EMAIL_LENGTH_MAX, { error: TOO_LONG, abort: true })
  .refine((address) => /^\p{ASCII}*@/u.test(address) || !address.includes('@'), {
    error: "Before the @, use only the letters a to z, digits and . _ ' + -.",
    abort: true,
  })
  .pipe(z.email({ pattern: EMAIL, error: 'Enter an e-mail address, like name@example.com.' }))

/**
 * Returns the address with its domain in lower case, in the ASCII form that mail servers use, and without a dot at its end. So
 * `user@Bücher.example` and `user@xn--bcher-kva.example.` become the same text. The conversion follows UTS 46, as in the address
 * bar of a browser. If the domain is not valid, the address is returned unchanged.
 */
export function withAsciiDomain(address: string): string {
  const at = address.lastIndexOf('@')
  const domain = address.slice(at + 1)
  const url = `http://${domain}`
  if (at === -1 || NOT_IN_DOMAIN.test(domain) || !URL.canParse(url)) return address
  return `${address.slice(0, at)}@${new URL(url).hostname.replace(/\.$/, '')}`
}

export const Password = z
  .string()
  .min(PASSWORD_LENGTH_MIN, `Use at least ${PASSWORD_LENGTH_MIN} characters.`)
  .refine(
    (password) => new TextEncoder().encode(password).length <= PASSWORD_BYTES_MAX,
    `Use at most ${PASSWORD_BYTES_MAX} bytes.`,
  )
  // Supabase Auth stores users in Postgres, and a text in Postgres cannot contain NUL.
  .refine((password) => password.isWellFormed() && !password.includes('\0'), 'Leave out control characters.')

/** The page to which the link in a mail leads in the end. `nextPath` returns such a path. */
export const NextPath = z
  .string()
  .max(NEXT_PATH_LENGTH_MAX, `Use at most ${NEXT_PATH_LENGTH_MAX} characters.`)
  .refine((path) => nextPath(path) === path, 'Use a path of this site, like /usage.')

/** Tokens of Turnstile have at most 2,048 characters. Those of hCaptcha are longer, without a documented maximum. */
export const CAPTCHA_TOKEN_LENGTH_MAX = 8_192

/** The fields of every call that sends a mail with a link. */
const withLink = {
  email: Email.refine(hasNoWholeSecret, HAS_WHOLE_SECRET),
  next: NextPath.refine(hasNoWholeSecret, HAS_WHOLE_SECRET).optional(),
  /** Required if the Supabase project requires a captcha. A token works once. */
  captchaToken: z.string().max(CAPTCHA_TOKEN_LENGTH_MAX).refine(hasNoWholeSecret, HAS_WHOLE_SECRET).optional(),
}

export const SignUp = z.strictObject({ ...withLink, password: Password })
export type SignUp = z.infer<typeof SignUp>

/**
 * Supabase Auth sends at most one mail of a kind to an address in this time, by default. An earlier request sends nothing, so the
 * dashboard offers "Send again" only after this time.
 */
export const MAIL_PAUSE_SECONDS = 60

/** The input of a call that asks for a mail with a link. */
export const RequestLink = z.strictObject(withLink)
export type RequestLink = z.infer<typeof RequestLink>

/** The output never depends on whether the address has an account. */
export const RequestLinkOutput = Output

/** The session from Supabase Auth. A client passes both tokens to `supabase.auth.setSession(…)` of supabase-js. */
export const Session = z.object({ accessToken: z.string(), refreshToken: z.string(), expiresAt: Timestamp })

/**
 * If the Supabase project requires e-mail confirmation, `session` and `defaultKey` are null, and the id of `user` is invented, so that the
 * answer does not depend on whether the address is taken. If the server could not create the
 * account or the key, only `defaultKey` is null. In both cases, the next call of `auth.provision` creates the account and the
 * key. If the address has an open invitation, `defaultKey` is null, and the person gets no account until they ask for one
 * (`accounts.open`).
 */
export const SignUpOutput = Output.extend({
  user: z.object({ id: z.guid(), email: z.string() }),
  session: Session.nullable(),
  defaultKey: NewKey.nullable(),
})

/** If this call created the first key, `defaultKey` contains the key with its secret. Otherwise it is null. */
export const ProvisionOutput = Output.extend({
  /** The accounts of which the person is a member, the oldest membership first. The first one is the default. */
  accounts: z.array(MemberAccount),
  defaultKey: NewKey.nullable(),
})
