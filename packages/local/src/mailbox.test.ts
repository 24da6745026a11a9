import { createTransport } from 'nodemailer'
import { describe, expect, it } from 'vitest'
import { MAILS_MAX } from './mail.ts'
import { MAIL_BYTES_MAX, REFUSED_DOMAIN } from './mailbox.ts'
import { sendMail, testAuth, testDatabase, testMailbox } from './testing/index.ts'

describe('mailbox', () => {
  const mailbox = testMailbox()
  const send = async (to: string, mail: { subject: string; text?: string; html?: string }) => {
    await sendMail(mailbox, { to, ...mail })
  }

  it('the mailbox returns each mail to an address once, in the order of arrival', async () => {
    await send('a@example.com', { subject: 'first' })
    await send('other@example.com', { subject: 'not for a' })
    await send('A@Example.com', { subject: 'second' })
    expect(await mailbox.next('a@example.com')).toMatchObject({ subject: 'first', from: '"Sender" <sender@example.com>' })
    expect(await mailbox.next('A@example.com')).toMatchObject({ subject: 'second', to: ['a@example.com'] })
  })

  it('a call that waits gets the next mail that it expects, and each mail ends only one wait', async () => {
    const [reset, any, further] = [
      mailbox.next('b@example.com', 'Reset'),
      mailbox.next('b@example.com'),
      mailbox.next('b@example.com'),
    ]
    await send('b@example.com', { subject: 'Welcome' })
    await send('b@example.com', { subject: 'Your Reset' })
    await send('b@example.com', { subject: 'Last' })
    const subjects = (await Promise.all([reset, any, further])).map(({ subject }) => subject)
    expect(subjects).toEqual(['Your Reset', 'Welcome', 'Last'])
    await send('b@example.com', { subject: 'After the waits' })
    expect(await mailbox.next('b@example.com')).toMatchObject({ subject: 'After the waits' })
  })

  it('a mail that was skipped because of its subject is returned by a later call', async () => {
    await send('c@example.com', { subject: 'one' })
    await send('c@example.com', { subject: 'two' })
    expect(await mailbox.next('c@example.com', 'two')).toMatchObject({ subject: 'two' })
    expect(await mailbox.next('c@example.com')).toMatchObject({ subject: 'one' })
  })

  it('a mail has its text, its HTML and the links of its HTML', async () => {
    const html =
      '<p>Grüße <a href="https://example.com/a?b=1&amp;c=2">here</a> <a href="https://example.com/second">there</a></p>'
    await send('d@example.com', { subject: 'Grüße', text: 'See https://example.com/text', html })
    expect(await mailbox.next('d@example.com')).toMatchObject({
      subject: 'Grüße',
      text: 'See https://example.com/text',
      html,
      links: ['https://example.com/a?b=1&c=2', 'https://example.com/second'],
    })
    await send('d@example.com', { subject: 'plain', text: 'See <https://example.com/text?a=1&b=2>.' })
    expect(await mailbox.next('d@example.com')).toMatchObject({ html: null, links: ['https://example.com/text?a=1&b=2'] })
  })

  it('the mailbox accepts a mail of the largest size, and refuses a larger one', async () => {
    const sendBytes = async (subject: string, bytes: number) => {
      const header = `Subject: ${subject}\r\n\r\n`
      const raw = `${header}${'x'.repeat(bytes - header.length - 2)}\r\n`
      const envelope = { from: 'sender@example.com', to: 'e@example.com' }
      await sendMail(mailbox, { envelope, raw })
    }
    await sendBytes('largest', MAIL_BYTES_MAX)
    expect(await mailbox.next('e@example.com')).toMatchObject({ subject: 'largest' })
    await expect(sendBytes('too large', MAIL_BYTES_MAX + 1)).rejects.toMatchObject({ responseCode: 552 })
    expect(mailbox.mails()[0]).toMatchObject({ subject: 'largest' })
  })

  it('the mailbox refuses recipients of the refused domain', async () => {
    await expect(send(`f@${REFUSED_DOMAIN}`, { subject: 'refused' })).rejects.toMatchObject({ responseCode: 550 })
    expect(mailbox.mails().some(({ subject }) => subject === 'refused')).toBe(false)
  })

  it('the mailbox accepts no mail without its password', async () => {
    const mail = { to: 'b@example.com', subject: 'no' }
    await expect(sendMail(mailbox, mail, 'wrong')).rejects.toMatchObject({ responseCode: 535 })
    const { port } = new URL(mailbox.smtpUrl)
    const withoutPassword = createTransport({ port: Number(port), ignoreTLS: true })
    await expect(withoutPassword.sendMail({ from: 'a@example.com', ...mail })).rejects.toMatchObject({ responseCode: 530 })
  })

  it('the mailbox keeps the newest mails and forgets the oldest ones', async () => {
    const before = mailbox.mails()
    const missing = Array.from({ length: MAILS_MAX - before.length }, (_, i) => `mail ${i}`)
    while (missing.length > 0)
      await Promise.all(missing.splice(0, 10).map(async (subject) => await send('g@example.com', { subject })))
    expect(mailbox.mails()).toHaveLength(MAILS_MAX)
    expect(mailbox.mails().at(-1)).toBe(before.at(-1))
    await send('g@example.com', { subject: 'one more' })
    expect(mailbox.mails()).toHaveLength(MAILS_MAX)
    expect(mailbox.mails().at(-1)).toBe(before.at(-2))
    expect(mailbox.mails()[0]).toMatchObject({ subject: 'one more' })
  })
})

describe('mails of the embedded auth server', () => {
  const database = testDatabase()
  const auth = testAuth(database, { emailConfirmation: true })
  const post = async (path: string, body: object, token = auth.publishableKey, method = 'POST') =>
    await fetch(`${auth.supabaseUrl}/auth/v1/${path}`, {
      method,
      headers: { apikey: auth.publishableKey, authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const verify = async (link: string) => {
    const { origin, pathname, hash } = new URL(link)
    const parameters = new URLSearchParams(hash.slice(1))
    expect(`${origin}${pathname}`).toBe(`${auth.siteUrl}/confirm`)
    const answer = await post('verify', { token_hash: parameters.get('token_hash'), type: parameters.get('type') })
    expect(answer.status).toBe(200)
    return (await answer.json()) as { access_token: string; user: { email: string } }
  }

  it('the links in all mails lead to the dashboard, and their token hash signs in', async () => {
    const [email, password] = ['person@example.com', 'a long password']
    await post('signup', { email, password })
    const confirmation = await auth.mailbox.next(email)
    expect(confirmation).toMatchObject({ subject: 'Confirm your e-mail address' })
    expect(confirmation.links).toEqual([expect.stringMatching(/&type=signup&/)])
    expect(await verify(confirmation.links[0] ?? '')).toMatchObject({ user: { email } })

    await post('recover', { email })
    const recovery = await auth.mailbox.next(email)
    expect(recovery.links).toEqual([expect.stringMatching(/&type=recovery&/)])
    expect(await verify(recovery.links[0] ?? '')).toMatchObject({ user: { email } })

    await post('otp', { email })
    const magicLink = await auth.mailbox.next(email)
    expect(magicLink.links).toEqual([expect.stringMatching(/&type=magiclink&/)])
    const { access_token } = await verify(magicLink.links[0] ?? '')

    await post('user', { email: 'new@example.com' }, access_token, 'PUT')
    const change = await auth.mailbox.next(email)
    expect(change.html).toContain('from person@example.com to new@example.com')
    expect(change.links).toEqual([expect.stringMatching(/&type=email_change$/)])
    expect(await verify(change.links[0] ?? '')).toMatchObject({ user: { email: 'new@example.com' } })
  })
})
