import { createTransport } from 'nodemailer'

const SUBMISSION_PORT = 587
const SUBMISSION_TLS_PORT = 465

/** Returns a client of the mail server at this URL, which must be valid for `SmtpUrl`. Each mail gets its own connection. */
export function smtpTransport(smtpUrl: string, timeoutMs: number) {
  const { protocol, hostname, port, username, password } = new URL(smtpUrl)
  const secure = protocol === 'smtps:'
  return createTransport({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port) || (secure ? SUBMISSION_TLS_PORT : SUBMISSION_PORT),
    secure,
    // Without this setting, an attacker in the network could switch the encryption off and read the password.
    requireTLS: username !== '',
    ...(username !== '' && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}
