import { INVITATION_DAYS, type Invitation, type InvitationMail } from '@keymeter/contract'
import type { Context } from '../context.ts'
import type { Caller } from '../scope.ts'

/**
 * Sends the link of an invitation to the invited address. Call it after the commit. The mail contains no text that a member can choose
 * freely, e.g. no name of the account: a stranger could otherwise send any text to any address from the company's mail server.
 *
 * @returns `off` if there is no mail server, or if the server does not know its own URL, so the link is only a path.
 */
export async function mailInvitation(
  { mailer, publicUrl, log }: Context,
  inviter: Caller,
  { email }: Pick<Invitation, 'email'>,
  link: string,
): Promise<InvitationMail> {
  if (mailer === null || publicUrl === null) return 'off'
  const who = inviter.email ?? 'A member'
  const lines = [
    `${who} invites you to an account at ${new URL(publicUrl).host}.`,
    'Open this link to see the invitation and to accept it:',
    link,
    `The link works for ${INVITATION_DAYS} days, and only for this address. If you do not know the sender, ignore this mail.`,
  ]
  const html = lines.map(
    (line) => `<p>${line === link ? `<a href="${escapeHtml(link)}">${escapeHtml(link)}</a>` : escapeHtml(line)}</p>`,
  )
  const verdict = await mailer.send({
    to: email,
    subject: 'You are invited to an account',
    text: lines.join('\n\n'),
    html: html.join(''),
  })
  if (verdict === 'sent') return 'sent'
  log.warn({ verdict }, 'the mail of an invitation was not sent; the member can copy the link')
  return 'failed'
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
