import { toUnicode } from 'punycode'

/**
 * Returns an e-mail address with its domain as people write it. Supabase Auth stores `user@bücher.example` with the ASCII form
 * of the domain, `user@xn--bcher-kva.example`. The result is only for people: compare and send the stored address.
 */
export function writtenAddress(address: string): string {
  try {
    return toUnicode(address)
  } catch {
    // A label that begins with `xn--` is not always valid Punycode.
    return address
  }
}
