import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { domainToASCII } from 'node:url'
import { type ParsedMail, simpleParser } from 'mailparser'
import { generate } from 'selfsigned'
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server'
import { MAILS_MAX, type Mail } from './mail.ts'
import { startMailboxPages } from './mailbox-pages.ts'
import { freePort } from './ports.ts'

/** The largest mail, with all its parts, that the mailbox accepts. */
export const MAIL_BYTES_MAX = 1024 * 1024
/** The mailbox refuses mails to this domain, so that a refusal can be tried out. No real address has this domain. */
export const REFUSED_DOMAIN = 'refused.invalid'

const CLIENTS_MAX = 20
const USER = 'mailbox'
/** The embedded auth server ends with the mailbox, so the mailbox waits only briefly for deliveries that are not finished. */
const CLOSE_TIMEOUT_MS = 100

interface Waiter {
  isExpected: (mail: Mail) => boolean
  resolve: (mail: Mail) => void
}

/**
 * An SMTP server on a free port of this machine that keeps all mails in memory and delivers none. The development server shows
 * them at `/dev/mail`.
 */
export class Mailbox {
  /**
   * `smtp://user:password@host:port`. The server accepts the password only over TLS. Its certificate is in `certificateFile`.
   * Both are empty until `start` has returned.
   */
  smtpUrl = ''
  /** The PEM file of the certificate. Processes that send mails need it as `NODE_EXTRA_CA_CERTS`. */
  certificateFile = ''
  #mails: Mail[] = []
  readonly #returned = new WeakSet<Mail>()
  readonly #waiters = new Set<Waiter>()
  #server: SMTPServer | null = null
  #pages: Awaited<ReturnType<typeof startMailboxPages>> | null = null

  /** @param dir The folder in which the file of the certificate is written. */
  async start(dir: string): Promise<void> {
    const [port, password] = [await freePort(), randomBytes(24).toString('base64url')]
    const { cert, private: key } = await generate([{ name: 'commonName', value: 'Keymeter mailbox' }], {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
    })
    mkdirSync(dir, { recursive: true })
    this.certificateFile = join(dir, 'mailbox.pem')
    writeFileSync(this.certificateFile, cert)
    const server = new SMTPServer({
      key,
      cert,
      size: MAIL_BYTES_MAX,
      rejectOversized: true,
      maxClients: CLIENTS_MAX,
      closeTimeout: CLOSE_TIMEOUT_MS,
      disableReverseLookup: true,
      onAuth: (auth, _, callback) => {
        if (auth.username === USER && auth.password === password) callback(null, { user: USER })
        else callback(new Error('The user or the password is wrong.'))
      },
      onRcptTo: ({ address }, _, callback) => {
        if (address.toLowerCase().endsWith(`@${REFUSED_DOMAIN}`)) callback(new Error('The mailbox refuses this domain.'))
        else callback()
      },
      onData: (stream, session, callback) =>
        void this.#receive(stream, session).then(
          () => callback(),
          (error) => callback(error),
        ),
    })
    // A client that ends in the middle of a delivery is an error event. Without a handler, it would end the process.
    server.on('error', () => {})
    await new Promise<void>((resolve, reject) => {
      server.server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.#pages = await startMailboxPages(() => this.#mails)
    this.smtpUrl = `smtp://${USER}:${password}@127.0.0.1:${port}`
  }

  /** Returns the settings with which Keymeter's server sends its mails to this mailbox, and the development server shows them. */
  serverEnv(): Record<string, string> {
    return {
      SMTP_URL: this.smtpUrl,
      MAIL_FROM: 'Keymeter <mails@keymeter.invalid>',
      NODE_EXTRA_CA_CERTS: this.certificateFile,
      DEV_MAILBOX_URL: this.#pages?.url ?? '',
    }
  }

  /** Returns all mails, the newest first. */
  mails(): readonly Mail[] {
    return this.#mails
  }

  /**
   * Returns the oldest mail to the address that no other call of `next` has returned. If there is none, waits until it arrives.
   *
   * @param subject If set, skips the mails whose subject does not contain this text. A later call can return them.
   */
  async next(to: string, subject = ''): Promise<Mail> {
    const address = normalize(to)
    const isExpected = (mail: Mail) => mail.to.includes(address) && mail.subject.includes(subject) && !this.#returned.has(mail)
    const mail = this.#mails.findLast(isExpected)
    if (mail === undefined) return await new Promise((resolve) => this.#waiters.add({ isExpected, resolve }))
    this.#returned.add(mail)
    return mail
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server !== null) await new Promise<void>((resolve) => server.close(() => resolve()))
    await this.#pages?.stop()
  }

  async #receive(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<void> {
    const chunks: Buffer[] = []
    // The whole stream must be read, but what is too long is not kept. The server then refuses the mail.
    for await (const chunk of stream) if (!stream.sizeExceeded) chunks.push(chunk)
    if (stream.sizeExceeded) return
    const mail = mailOf(await simpleParser(Buffer.concat(chunks)), session)
    this.#mails = [mail, ...this.#mails].slice(0, MAILS_MAX)
    for (const waiter of this.#waiters) {
      if (!waiter.isExpected(mail)) continue
      this.#waiters.delete(waiter)
      this.#returned.add(mail)
      waiter.resolve(mail)
      break
    }
  }
}

function mailOf({ from, subject = '', text = '', html }: ParsedMail, { envelope }: SMTPServerSession): Mail {
  return {
    id: randomUUID(),
    from: from?.text ?? '',
    to: envelope.rcptTo.map(({ address }) => normalize(address)),
    subject,
    text,
    html: html || null,
    links: html ? linksOfHtml(html) : [...text.matchAll(/https?:\/\/[^\s<>"]+/g)].map(([link]) => link),
    receivedAt: new Date(),
  }
}

/** The SMTP server decodes international domains, and Keymeter stores them in ASCII. */
function normalize(address: string): string {
  const [local = '', domain = ''] = address.toLowerCase().split('@')
  return `${local}@${domainToASCII(domain)}`
}

/** In HTML, an `&` in an address is written as `&amp;`. */
function linksOfHtml(html: string): string[] {
  return [...html.matchAll(/href="([^"]*)"/g)].map(([, link = '']) => link.replaceAll('&amp;', '&'))
}
