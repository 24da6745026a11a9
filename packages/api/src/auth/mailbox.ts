import { createHash } from 'node:crypto'
import { withAsciiDomain } from '@keymeter/contract'

/** Providers that deliver several spellings of an address to one mailbox. Each rule is in the help pages of the provider. */
const PROVIDERS: { domains: RegExp; domain?: string; sameLocalPart: (localPart: string) => string }[] = [
  {
    domains: /^(gmail|googlemail)\.com$/,
    domain: 'gmail.com',
    sameLocalPart: (localPart) => localPart.replaceAll('.', ''),
  },
  {
    domains: /^(proton\.me|protonmail\.(com|ch)|pm\.me)$/,
    domain: 'proton.me',
    sameLocalPart: (localPart) => localPart.replaceAll(/[._-]/g, ''),
  },
  { domains: /^(icloud|me|mac)\.com$/, domain: 'icloud.com', sameLocalPart: (localPart) => localPart },
  {
    domains: /^(ya\.ru|yandex\.(ru|com|by|kz|ua|com\.tr))$/,
    domain: 'yandex.ru',
    sameLocalPart: (localPart) => localPart.replaceAll('.', '-'),
  },
  // Yahoo's tag begins with a hyphen. The name of a Yahoo mailbox contains no hyphen.
  { domains: /^(yahoo\.[a-z.]+|(ymail|rocketmail)\.com)$/, sameLocalPart: (localPart) => withoutTag(localPart, '-') },
]

/**
 * Returns the SHA-256 hash of the mailbox of an e-mail address. All spellings of one mailbox have the same hash, so that a person
 * cannot multiply free credits and sign-ups with spellings.
 *
 * The database stores only this hash, so a leak of the table contains no addresses. Somebody who already has an address can test
 * whether it is in the table. A keyed hash (HMAC) would prevent this test, but the key could then never be changed or lost.
 */
export function hashMailbox(email: string): Buffer {
  return createHash('sha256')
    .update(`keymeter mailbox ${canonicalMailbox(email)}`)
    .digest()
}

/**
 * Returns one spelling for all spellings of a mailbox: letter case, `+tag`, an internationalised domain, the dot at the end of a
 * domain, and the spellings that the provider treats as equal.
 *
 * A few mail servers treat `a+b` and `a` as two mailboxes. These two count as one here.
 */
export function canonicalMailbox(email: string): string {
  const folded = withAsciiDomain(email.trim().normalize('NFKC').toLowerCase())
  const at = folded.lastIndexOf('@')
  const domain = folded.slice(at + 1).replace(/\.+$/, '')
  const localPart = withoutTag(folded.slice(0, Math.max(0, at)).replace(/^"(.*)"$/, '$1'), '+')
  const provider = PROVIDERS.find(({ domains }) => domains.test(domain))
  return provider === undefined ? `${localPart}@${domain}` : `${provider.sameLocalPart(localPart)}@${provider.domain ?? domain}`
}

/** Cuts a tag. A local part that begins with the separator has no tag. */
function withoutTag(localPart: string, separator: string): string {
  const end = localPart.indexOf(separator)
  return end > 0 ? localPart.slice(0, end) : localPart
}
