/** A mail in the local mailbox. */
export interface Mail {
  id: string
  /** The header `From`, e.g. `Keymeter <auth@keymeter.invalid>`. */
  from: string
  /** The addresses to which the mail was delivered, in lower case and with their domains in ASCII. */
  to: string[]
  subject: string
  /**
   * The text part. Supabase sends no text part. The text part of the embedded auth server cannot be changed, and its link leads
   * nowhere, so use `links`.
   */
  text: string
  html: string | null
  /** The addresses of all links, in their order: those of the HTML part, or those of the text part if there is no HTML part. */
  links: string[]
  receivedAt: Date
}

/** The mailbox keeps this number of mails. A further mail replaces the oldest one. */
export const MAILS_MAX = 200
/** The address from which the embedded auth server sends its mails. */
export const AUTH_SENDER = 'auth@keymeter.invalid'
