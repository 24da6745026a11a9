import { SmtpUrl } from '../mail/settings.ts'
import { smtpTransport } from '../mail/smtp-transport.ts'
import { type Finding, fault, ok, skipped } from './finding.ts'

const TIMEOUT_MS = 5_000

/** Checks that the mail server answers and accepts the login. Sends no mail. */
export async function checkMailServer(smtpUrl: string | null): Promise<Finding> {
  const name = 'mail server'
  if (smtpUrl === null) return skipped(name, 'SMTP_URL is not set here. Invitations are links to copy.')
  const url = SmtpUrl.safeParse(smtpUrl)
  if (!url.success) return fault(name, `SMTP_URL ${url.error.issues[0]?.message}.`, 'Correct SMTP_URL.')
  const { host } = new URL(smtpUrl)
  try {
    await smtpTransport(smtpUrl, TIMEOUT_MS).verify()
    return ok(name, `${host} answers and accepts the login.`)
  } catch (error) {
    // The message of the error can contain text of the server, but not the password.
    return fault(name, `${host} cannot be used: ${error instanceof Error ? error.message : error}.`, 'Correct SMTP_URL.')
  }
}
