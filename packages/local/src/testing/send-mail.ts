import { readFileSync } from 'node:fs'
import { createTransport, type SendMailOptions } from 'nodemailer'
import type { Mailbox } from '../mailbox.ts'

/**
 * Sends a mail to the mailbox by SMTP.
 *
 * @param password is the mailbox's own password by default.
 * @throws Error with the SMTP code in `responseCode` if the mailbox refuses the mail.
 */
export async function sendMail(
  { smtpUrl, certificateFile }: Mailbox,
  mail: SendMailOptions,
  password = new URL(smtpUrl).password,
): Promise<void> {
  const { hostname, port, username } = new URL(smtpUrl)
  const transport = createTransport({
    host: hostname,
    port: Number(port),
    auth: { user: username, pass: password },
    tls: { ca: readFileSync(certificateFile) },
  })
  await transport.sendMail({ from: 'Sender <sender@example.com>', ...mail })
}
