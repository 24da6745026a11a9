import { Email } from '@keymeter/contract'
import { z } from 'zod'

/** The settings SMTP_URL and MAIL_FROM. */
export interface MailSettings {
  /** `smtp://` or `smtps://`, with the user and the password if the server needs them. */
  smtpUrl: string
  /** The sender, e.g. `Acme <keys@acme.example>`. */
  from: string
}

/** Nodemailer would read further options from the query of the URL, e.g. one that switches the check of certificates off. */
export const SmtpUrl = z.string().refine((text) => {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hostname, pathname, search, hash } = new URL(text)
  if (!canDecode(username) || !canDecode(password)) return false
  return /^smtps?:$/.test(protocol) && hostname !== '' && /^\/?$/.test(pathname) && search === '' && hash === ''
}, 'must be smtp:// or smtps://, with user:password@ if the server needs them, a host, and a port if it is not 587 or 465')

/** An address, or a name with an address in angle brackets. */
export const MailFrom = z.string().refine((text) => {
  const [, address = text] = /^[^<>",:;\p{Cc}]*<([^<>]*)>$/u.exec(text) ?? []
  return Email.safeParse(address).success
}, 'must be an e-mail address, or Name <address>')

function canDecode(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
