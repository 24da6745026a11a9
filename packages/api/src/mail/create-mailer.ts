import { Email } from '@keymeter/contract'
import type { Logger } from 'pino'
import type { MailSettings } from './settings.ts'
import { smtpTransport } from './smtp-transport.ts'

/** The longest time that one mail can take, from the name of the server to its last answer. */
const SEND_TIMEOUT_MS = 15_000
/** The mails that one process sends at the same time. A server that hangs keeps no more connections than this. */
export const MAILS_IN_FLIGHT_MAX = 20

interface OutgoingMail {
  /** One e-mail address. */
  to: string
  /** One line. */
  subject: string
  text: string
  html: string
}

/**
 * - `sent`: the mail server has accepted the mail. The mail can still come back later.
 * - `invalid`: `to` is not one e-mail address, or `subject` contains a line break or another control character.
 * - `recipient_refused`: the mail server refuses this address for good.
 * - `unavailable`: the mail server does not answer, refuses the login or the mail, or too many mails are being sent. A later
 *   attempt can succeed.
 */
type MailVerdict = 'sent' | 'invalid' | 'recipient_refused' | 'unavailable'

/** Sends the mails of Keymeter itself. Supabase Auth sends its own mails. */
export interface Mailer {
  /**
   * Never throws, so a failed mail does not undo the caller's work. Do not call it inside a transaction: it can take 15 seconds.
   * It does not try again.
   */
  send(mail: OutgoingMail): Promise<MailVerdict>
}

/** @param timeoutMs The longest time that one mail can take. */
export function createMailer({ smtpUrl, from }: MailSettings, log: Logger, timeoutMs = SEND_TIMEOUT_MS): Mailer {
  const transport = smtpTransport(smtpUrl, timeoutMs)
  let inFlight = 0
  return {
    send: async ({ to, subject, text, html }) => {
      const address = Email.safeParse(to)
      // A line break in a header would begin another header, e.g. `Bcc`.
      if (!address.success || /\p{Cc}/u.test(subject)) return 'invalid'
      if (inFlight >= MAILS_IN_FLIGHT_MAX) {
        log.warn({ inFlight }, 'a mail was not sent, because too many mails are being sent')
        return 'unavailable'
      }
      inFlight++
      try {
        await transport.sendMail({
          from,
          to: { name: '', address: address.data },
          subject,
          text,
          html,
          headers: { 'auto-submitted': 'auto-generated' },
          // The time limits of the transport begin again with each answer of the server. This one does not.
          signal: AbortSignal.timeout(timeoutMs),
        })
        return 'sent'
      } catch (error) {
        const fault = faultOf(error)
        const verdict = fault.command === 'RCPT TO' && isPermanent(fault.responseCode) ? 'recipient_refused' : 'unavailable'
        log.warn({ verdict, ...fault }, 'a mail was not sent')
        return verdict
      } finally {
        inFlight--
      }
    },
  }
}

/** Only these fields are logged. The message of the error can contain the address, and the answer of the server any text. */
function faultOf(error: unknown): { code?: unknown; command?: unknown; responseCode?: unknown } {
  const { code, command, responseCode } = error as { code?: unknown; command?: unknown; responseCode?: unknown }
  return { code, command, responseCode }
}

const isPermanent = (responseCode: unknown) => typeof responseCode === 'number' && responseCode >= 500
