import { RequestLink } from '@keymeter/contract'
import { useState } from 'react'
import type { LinkType } from '../call/arrival.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { useSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { UserText } from '../ui/user-text.tsx'
import { AuthLink } from './auth-link.tsx'
import { AuthPage } from './auth-page.tsx'
import { SendAgain } from './send-again.tsx'
import { useCaptcha } from './use-captcha.tsx'
import { useNext } from './use-next.ts'
import { writtenAddress } from './written-address.ts'

interface LinkFaultProps {
  /**
   * `lost`: the page was opened without a link, or was loaded again. `refused`: the account of the link is blocked. `failed`: the auth
   * server had a fault.
   */
  outcome: 'used' | 'lost' | 'refused' | 'failed'
  /** Unknown if Supabase Auth has refused the link before it redirected here. */
  type?: LinkType
}

/** Says why the link of a mail does not work, and offers another one. */
export function LinkFault({ outcome, type }: LinkFaultProps) {
  const user = useSession()?.user
  const next = useNext()
  if (outcome === 'refused') {
    return (
      <AuthPage title="This link cannot be used" footer={<AuthLink to="/sign-in">Sign in</AuthLink>}>
        <Notice tone="danger">This account is blocked. Ask the operator.</Notice>
      </AuthPage>
    )
  }
  return (
    <AuthPage
      title={outcome === 'used' ? 'This link no longer works' : 'Open the link again'}
      footer={user === undefined ? <AuthLink to="/sign-in">Sign in</AuthLink> : undefined}
    >
      <Notice tone={outcome === 'lost' ? 'plain' : 'danger'}>{TEXTS[outcome]}</Notice>
      {user?.email !== undefined && (
        <p className="text-sm text-ink-soft">
          You are signed in as <UserText>{writtenAddress(user.email)}</UserText>.{' '}
          <a href={next} className="font-medium text-accent underline underline-offset-2">
            Continue
          </a>
        </p>
      )}
      {outcome === 'used' && <Another type={type} />}
    </AuthPage>
  )
}

const TEXTS = {
  lost: 'This page needs the link of a mail. Open the link in the mail again.',
  used: 'The link has expired, or it was already used. Each link works once, and only the newest link of a kind works.',
  failed: 'The sign-in server had a fault. Open the link in the mail again in a few minutes.',
} as const

function Another({ type }: { type: LinkType | undefined }) {
  switch (type) {
    case 'recovery':
      return (
        <p className="text-sm">
          <AuthLink to="/forgot">Ask for another link</AuthLink>
        </p>
      )
    case 'email_change':
      return <p className="text-sm text-ink-soft">If your address has not changed, change it again in your settings.</p>
    case 'magiclink':
    case 'invite':
      return <p className="text-sm text-ink-soft">Sign in, or ask for another invitation.</p>
    case 'signup':
    case 'email':
      return <AnotherConfirmation />
    case undefined:
      return (
        <>
          <p className="text-sm text-ink-soft">
            For a new password, <AuthLink to="/forgot">ask for another link</AuthLink>.
          </p>
          <AnotherConfirmation />
        </>
      )
  }
}

/** Asks for the address, because a link does not contain it. */
function AnotherConfirmation() {
  const next = useNext()
  const [sentTo, setSentTo] = useState<string | null>(null)
  const { register, submit, errors, formState, fault } = useCallForm(RequestLink, { email: '' })
  const captcha = useCaptcha()
  const request = submit(async ({ email }) => {
    await api.auth.resendConfirmation.mutate({ email, next, ...captcha.input }).finally(captcha.renew)
    setSentTo(email)
  })
  if (sentTo !== null) {
    return (
      <>
        <Notice>If this address waits for its confirmation, a mail with another link is on its way.</Notice>
        <SendAgain request={{ email: sentTo, next }} call={api.auth.resendConfirmation.mutate} isSent />
      </>
    )
  }
  return (
    <form noValidate onSubmit={request} className="grid gap-4">
      <p className="text-sm text-ink-soft">
        If you have confirmed your address, sign in. Otherwise, enter it to get another link.
      </p>
      {fault !== null && <ErrorNotice error={fault} />}
      <TextField label="E-mail" type="email" autoComplete="email" error={errors.email?.message} {...register('email')} />
      {captcha.widget}
      <Button type="submit" isPending={formState.isSubmitting} disabled={captcha.isMissing}>
        Send another link
      </Button>
    </form>
  )
}
