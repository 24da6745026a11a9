import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import type { LinkType, MailLink } from '../call/arrival.ts'
import {
  arrivedLink,
  dropLinkSession,
  linkRefusalOf,
  type OpenedLink,
  openLink,
  startLinkSession,
  useSession,
} from '../call/session.ts'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { AuthPage } from './auth-page.tsx'
import { LinkFault } from './link-fault.tsx'
import { nextSearch } from './next-search.ts'
import { rememberRecovery } from './recovery.ts'
import { useNext } from './use-next.ts'
import { writtenAddress } from './written-address.ts'

const ASKS: Record<LinkType, { title: string; text: string; button: string }> = {
  signup: {
    title: 'Confirm your address',
    text: 'This confirms your e-mail address and signs you in.',
    button: 'Confirm address',
  },
  email: {
    title: 'Confirm your address',
    text: 'This confirms your e-mail address and signs you in.',
    button: 'Confirm address',
  },
  invite: { title: 'Accept the invitation', text: 'This confirms your e-mail address and signs you in.', button: 'Accept' },
  magiclink: { title: 'Sign in', text: 'This link signs you in.', button: 'Sign in' },
  recovery: {
    title: 'Set a new password',
    text: 'This link signs you in, so that you can set a new password.',
    button: 'Continue',
  },
  email_change: {
    title: 'Change your address',
    text: 'This confirms the change of your e-mail address.',
    button: 'Confirm change',
  },
}

/**
 * Opens the link of a mail. The link is used only after a press of the button, because programs that check mails open their links,
 * and some of them run the scripts of the page.
 */
export function ConfirmPage() {
  if (arrivedLink === null) return <LinkFault outcome="lost" />
  return <Confirm link={arrivedLink} />
}

function Confirm({ link }: { link: MailLink }) {
  const navigate = useNavigate()
  const next = useNext()
  const user = useSession()?.user
  const [opened, setOpened] = useState<OpenedLink | null>(link.kind === 'half' ? { outcome: 'half' } : null)
  const [isPending, setIsPending] = useState(false)

  const enter = async ({ session, type }: OpenedLink & { outcome: 'session' }) => {
    setIsPending(true)
    try {
      await startLinkSession(session)
    } catch {
      setIsPending(false)
      return setOpened({ outcome: 'unreachable' })
    }
    if (type === 'recovery') {
      rememberRecovery(session.user.id)
      return await navigate({ to: '/reset', search: nextSearch(next) })
    }
    if (type !== 'email_change') return await navigate({ href: next })
    announce(`Your address is now ${writtenAddress(session.user.email ?? '')}.`)
    await navigate({ href: '/settings' })
  }
  const open = async () => {
    setIsPending(true)
    const result = await openLink(link)
    setIsPending(false)
    if (result.outcome === 'session' && (user === undefined || user.id === result.session.user.id)) await enter(result)
    else setOpened(result)
  }
  const stay = async () => {
    setIsPending(true)
    await dropLinkSession()
    await navigate({ href: next })
  }

  if (link.kind === 'refused') return <LinkFault outcome={linkRefusalOf(link.errorCode)} />
  const type = link.kind === 'half' ? 'email_change' : link.type
  if (opened === null) {
    const { title, text, button } = ASKS[type]
    return (
      <AuthPage title={title}>
        <p className="text-sm text-ink-soft">{text}</p>
        {link.kind === 'session' && <SignsIn token={link.accessToken} />}
        <Button isPending={isPending} onClick={open}>
          {button}
        </Button>
      </AuthPage>
    )
  }
  switch (opened.outcome) {
    case 'session':
      return (
        <AuthPage title="This link is for another person">
          <p className="text-sm text-ink-soft">
            You are signed in as <Address email={user?.email} />. The link is for <Address email={opened.session.user.email} />.
          </p>
          <Button isPending={isPending} onClick={() => enter(opened)}>
            Sign out and continue
          </Button>
          <Button variant="secondary" isPending={isPending} onClick={stay} className="min-w-0 py-2">
            <span className="min-w-0 wrap-anywhere">
              Stay signed in{user?.email !== undefined && ` as ${writtenAddress(user.email)}`}
            </span>
          </Button>
        </AuthPage>
      )
    case 'half':
      return (
        <AuthPage title="One of two addresses is confirmed">
          <Notice>
            Now open the link in the mail to the other address. Your address changes when both addresses have confirmed it.
          </Notice>
        </AuthPage>
      )
    case 'used':
      return <LinkFault outcome="used" type={type} />
    case 'refused':
    case 'failed':
      return <LinkFault outcome={opened.outcome} />
    case 'limited':
    case 'unreachable':
      return (
        <AuthPage title={ASKS[type].title}>
          <Notice tone="danger">
            {opened.outcome === 'limited'
              ? 'Too many attempts. Wait a minute, then try again.'
              : 'The sign-in server cannot be reached. Check your connection and try again.'}
          </Notice>
          <Button isPending={isPending} onClick={open}>
            Try again
          </Button>
        </AuthPage>
      )
  }
}

function Address({ email }: { email: string | undefined }): ReactNode {
  return (
    <strong className="wrap-anywhere font-medium text-ink">
      {email ? <UserText>{writtenAddress(email)}</UserText> : 'an account without an address'}
    </strong>
  )
}

/**
 * Shows the address for which the session of a link is. Without it, a stranger could make a person work in the stranger's account
 * unnoticed. A token that the stranger has changed shows another address, but cannot be used.
 */
function SignsIn({ token }: { token: string }): ReactNode {
  const email = emailIn(token)
  return (
    email !== undefined && (
      <p className="text-sm">
        You will be signed in as <Address email={email} />.
      </p>
    )
  )
}

function emailIn(token: string): string | undefined {
  try {
    const [, payload = ''] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
    const { email } = JSON.parse(new TextDecoder().decode(bytes)) as { email?: unknown }
    return typeof email === 'string' ? email : undefined
  } catch {
    return undefined
  }
}
