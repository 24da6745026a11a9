import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { html } from 'hono/html'
import { AUTH_SENDER, MAILS_MAX, type Mail } from './mail.ts'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
/**
 * Anybody can write the HTML of a mail, e.g. as the name in an invitation. So it runs no script, loads nothing, and has an
 * origin of its own, also if it is opened outside of its frame. Its links open in new tabs.
 */
const SANDBOX = 'allow-popups allow-popups-to-escape-sandbox'
const MAIL_POLICY = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox ${SANDBOX}`

const asset = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')

/** Serves the pages of a mailbox at `/dev/mail`, on a free port of this machine. The development server forwards this path. */
export async function startMailboxPages(mails: () => readonly Mail[]): Promise<{ url: string; stop(): Promise<void> }> {
  const app = new Hono().basePath('/dev/mail')
  const [style, script] = [asset('mailbox-pages.css'), asset('mailbox-pages.client.js')]
  const find = (id: string) => mails().find((mail) => mail.id === id)
  app.use(async (c, next) => {
    await next()
    c.header('cache-control', 'no-store')
  })
  app.get('/', (c) => page(c, 'Mails', list(mails())))
  app.get('/style.css', (c) => c.body(style, 200, { 'content-type': 'text/css; charset=utf-8' }))
  app.get('/refresh.js', (c) => c.body(script, 200, { 'content-type': 'text/javascript; charset=utf-8' }))
  app.get('/:id', (c) => {
    const mail = find(c.req.param('id'))
    return mail === undefined ? page(c, 'No such mail', GONE, 404) : page(c, mail.subject, single(mail))
  })
  app.get('/:id/html', (c) => {
    const content = find(c.req.param('id'))?.html
    if (content === undefined || content === null) return page(c, 'No such mail', GONE, 404)
    return c.html(`<!doctype html><base target="_blank">${content}`, 200, {
      'content-security-policy': MAIL_POLICY,
      'x-frame-options': 'SAMEORIGIN',
    })
  })
  app.notFound((c) => page(c, 'No such mail', GONE, 404))
  const server = createServer(getRequestListener(app.fetch))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The pages of the mailbox have no port.')
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

type Html = ReturnType<typeof html>

function page(c: Context, title: string, content: Html, status: 200 | 404 = 200) {
  const answer = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Keymeter mailbox</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href="/dev/mail/style.css" />
        <script type="module" src="/dev/mail/refresh.js"></script>
      </head>
      <body>
        ${content}
      </body>
    </html>`
  return c.html(answer, status, { 'content-security-policy': `${POLICY}; img-src data:` })
}

function list(mails: readonly Mail[]): Html {
  return html`<main>
    <h1>Mails</h1>
    <p>These are all mails of this development server. They were not delivered to anybody. The newest is first.</p>
    <p role="status" id="count">${count(mails.length)}</p>
    <ul id="mails">
      ${mails.map(
        (mail) =>
          html`<li id="${mail.id}">
            <a href="/dev/mail/${mail.id}">${mail.subject || '(no subject)'}</a>
            <span>to ${mail.to.join(', ')}</span>
            ${time(mail)}
          </li>`,
      )}
    </ul>
  </main>`
}

function count(number: number): string {
  if (number === 0) return 'No mail has arrived yet. New mails appear here by themselves.'
  if (number === MAILS_MAX) return `${number} mails. Older mails are no longer kept.`
  return number === 1 ? '1 mail.' : `${number} mails.`
}

function single(mail: Mail): Html {
  const { id, from, to, subject, text } = mail
  return html`<nav><a href="/dev/mail">All mails</a></nav>
    <main>
      <h1>${subject || '(no subject)'}</h1>
      <dl>
        <dt>From</dt><dd>${from}</dd>
        <dt>To</dt><dd>${to.join(', ')}</dd>
        <dt>Arrived</dt><dd>${time(mail)}</dd>
      </dl>
      ${
        mail.html === null
          ? textPart(text)
          : html`<iframe title="Content of the mail" src="/dev/mail/${id}/html" sandbox="${SANDBOX}"></iframe>
              ${hasOwnText(mail) ? html`<details><summary>Plain text</summary>${textPart(text)}</details>` : ''}`
      }
    </main>`
}

/**
 * The page does not show the text part of the embedded auth server, because its link leads nowhere. Supabase sends no text
 * part.
 */
const hasOwnText = ({ from, text }: Mail) => text !== '' && !from.includes(AUTH_SENDER)

const textPart = (text: string) => html`<pre tabindex="0" role="region" aria-label="Plain text">${text}</pre>`

function time({ receivedAt }: Mail): Html {
  const iso = receivedAt.toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`
}

const GONE = html`<nav><a href="/dev/mail">All mails</a></nav>
  <main>
    <h1>This mail does not exist</h1>
    <p>The mailbox keeps the last ${MAILS_MAX} mails until <code>pnpm dev</code> ends.</p>
  </main>`
