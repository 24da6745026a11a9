import { createServer, type Server, type Socket } from 'node:net'
import { freePort } from '@keymeter/local'
import { REFUSED_DOMAIN, testMailbox } from '@keymeter/local/testing'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkMailServer } from '../doctor/check-mail-server.ts'
import { createMailer, MAILS_IN_FLIGHT_MAX } from './create-mailer.ts'

const mailbox = testMailbox()
const from = 'Acme Keys <keys@example.com>'
const mail = { to: 'someone@example.com', subject: 'Hello', text: 'the text', html: '<p>the html</p>' }
/** Short, because the servers of these tests that hang never answer. */
const TIMEOUT_MS = 300

/** Returns a mailer, and an array with the lines that it has logged. */
function mailerOf(smtpUrl: string, timeoutMs?: number) {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'trace' }, { write: (line) => lines.push(JSON.parse(line)) })
  return { lines, ...createMailer({ smtpUrl, from }, log, timeoutMs) }
}

/** Starts a server that treats each connection like this, and returns its URL and its open connections. */
async function startServer(treat: (socket: Socket) => void): Promise<{ url: string; sockets: Set<Socket>; server: Server }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    treat(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The server has no port.')
  return { url: `smtp://127.0.0.1:${address.port}`, sockets, server }
}

describe('mailer', () => {
  it('the mailer delivers a mail with its sender, its subject and both parts, and logs nothing about it', async () => {
    const { send, lines } = mailerOf(mailbox.smtpUrl)
    expect(await send({ ...mail, to: 'Someone@Bücher.example', subject: 'Grüße' })).toBe('sent')
    expect(await mailbox.next('someone@xn--bcher-kva.example')).toMatchObject({
      from: '"Acme Keys" <keys@example.com>',
      to: ['someone@xn--bcher-kva.example'],
      subject: 'Grüße',
      text: 'the text',
      html: '<p>the html</p>',
    })
    expect(lines).toEqual([])
  })

  it('the mailer sends nothing if the address is not one address, or if the subject contains a line break', async () => {
    const { send } = mailerOf(mailbox.smtpUrl)
    const before = mailbox.mails().length
    for (const to of [
      'a@example.com, b@example.com',
      'A <a@example.com>',
      'a@example.com\r\nBcc: b@example.com',
      'a@example.com>\r\nRCPT TO:<b@example.com',
      '',
      'nobody',
    ])
      expect([to, await send({ ...mail, to })]).toEqual([to, 'invalid'])
    for (const subject of ['Hello\r\nBcc: b@example.com', 'Hello\nX: y', 'Hello\u0000'])
      expect([subject, await send({ ...mail, subject })]).toEqual([subject, 'invalid'])
    expect(mailbox.mails().length).toBe(before)
  })

  it('the mailer reports a recipient that the mail server refuses, and logs neither the address nor the content', async () => {
    const { send, lines } = mailerOf(mailbox.smtpUrl)
    expect(await send({ ...mail, to: `someone@${REFUSED_DOMAIN}` })).toBe('recipient_refused')
    expect(lines).toMatchObject([{ verdict: 'recipient_refused', code: 'EENVELOPE', command: 'RCPT TO', responseCode: 550 }])
    expect(JSON.stringify(lines)).not.toMatch(/someone|Hello|the text|the html/)
  })

  it('the mailer reports that the mail server is unavailable if it is away, refuses the login, or hangs up', async () => {
    const password = new URL(mailbox.smtpUrl).password
    const hangsUp = await startServer((socket) => socket.end('220 ready\r\n'))
    for (const [url, code] of [
      [`smtp://127.0.0.1:${await freePort()}`, 'ESOCKET'],
      [mailbox.smtpUrl.replace(password, 'wrong'), 'EAUTH'],
      [hangsUp.url, 'ECONNECTION'],
    ] as const) {
      const { send, lines } = mailerOf(url)
      expect([code, await send(mail)]).toEqual([code, 'unavailable'])
      expect(lines).toMatchObject([{ verdict: 'unavailable', code, msg: 'a mail was not sent' }])
    }
  })

  it('the mailer does not send its password to a server that offers no encryption', async () => {
    const received: string[] = []
    const { url } = await startServer((socket) => {
      socket.write('220 ready\r\n')
      socket.on('data', (data) => {
        received.push(String(data))
        socket.write(String(data).startsWith('EHLO') ? '250-hello\r\n250 AUTH PLAIN LOGIN\r\n' : '502 unknown\r\n')
      })
    })
    expect(await mailerOf(url.replace('//', '//user:password@')).send(mail)).toBe('unavailable')
    expect(received.join('')).toMatch(/^EHLO .*\r\nSTARTTLS\r\n/)
    expect(received.join('')).not.toContain('AUTH')
  })

  it('the mailer gives up a mail if the server is silent, or if it answers for ever', async () => {
    const silent = await startServer(() => {})
    const endless = await startServer((socket) => {
      socket.write('220 ready\r\n')
      socket.once('data', () => {
        const writing = setInterval(() => socket.write('250-more\r\n'), TIMEOUT_MS / 10)
        socket.on('close', () => clearInterval(writing))
      })
    })
    for (const { url, sockets } of [silent, endless]) {
      expect(await mailerOf(url, TIMEOUT_MS).send(mail)).toBe('unavailable')
      await expect.poll(() => sockets.size).toBe(0)
    }
  })

  it(`the mailer sends at most ${MAILS_IN_FLIGHT_MAX} mails at the same time, and can send again after they have ended`, async () => {
    const { url, sockets } = await startServer(() => {})
    const { send, lines } = mailerOf(url)
    const sending = Array.from({ length: MAILS_IN_FLIGHT_MAX }, () => send(mail))
    await expect.poll(() => sockets.size).toBe(MAILS_IN_FLIGHT_MAX)
    expect(await send(mail)).toBe('unavailable')
    expect(lines).toMatchObject([{ inFlight: MAILS_IN_FLIGHT_MAX }])
    for (const socket of sockets) socket.destroy()
    expect(new Set(await Promise.all(sending))).toEqual(new Set(['unavailable']))
    const next = send(mail)
    await expect.poll(() => sockets.size).toBe(1)
    for (const socket of sockets) socket.destroy()
    await next
  })
})

describe('check of the mail server', () => {
  it('the doctor reports whether the mail server answers and accepts the login, and never shows the password', async () => {
    const { host, password } = new URL(mailbox.smtpUrl)
    const before = mailbox.mails().length
    expect(await checkMailServer(mailbox.smtpUrl)).toMatchObject({
      status: 'ok',
      message: `${host} answers and accepts the login.`,
    })
    expect(mailbox.mails().length).toBe(before)
    expect(await checkMailServer(null)).toMatchObject({ status: 'skipped' })
    const closed = `smtp://user:a-secret-password@127.0.0.1:${await freePort()}`
    for (const url of [mailbox.smtpUrl.replace(password, 'a-secret-password'), closed, 'https://u:a-secret-password@h']) {
      const finding = await checkMailServer(url)
      expect(finding).toMatchObject({ status: 'fault', repair: 'Correct SMTP_URL.' })
      expect(finding.message).not.toContain('a-secret-password')
    }
  })
})
