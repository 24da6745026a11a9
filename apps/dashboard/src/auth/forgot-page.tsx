import { RequestLink } from '@keymeter/contract'
import { useState } from 'react'
import { ErrorNotice } from '../call/error-notice.tsx'
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

/** Asks for a mail with a link to `/reset`. The page never shows whether the address has an account. */
export function ForgotPage() {
  const next = useNext()
  const [sentTo, setSentTo] = useState<string | null>(null)
  const { register, submit, errors, formState, fault } = useCallForm(RequestLink, { email: '' })
  const captcha = useCaptcha()
  const request = submit(async ({ email }) => {
    await api.auth.requestPasswordReset.mutate({ email, next, ...captcha.input }).finally(captcha.renew)
    setSentTo(email)
  })
  return (
    <AuthPage
      title={sentTo === null ? 'Set a new password' : 'Check your e-mail'}
      footer={<AuthLink to="/sign-in">Sign in</AuthLink>}
    >
      {sentTo === null ? (
        <form noValidate onSubmit={request} className="grid gap-4">
          {fault !== null && <ErrorNotice error={fault} />}
          <p className="text-sm text-ink-soft">Enter the address of your account. You get a mail with a link.</p>
          <TextField label="E-mail" type="email" autoComplete="email" error={errors.email?.message} {...register('email')} />
          {captcha.widget}
          <Button type="submit" isPending={formState.isSubmitting} disabled={captcha.isMissing}>
            Send the link
          </Button>
        </form>
      ) : (
        <>
          <Notice>
            If <UserText>{writtenAddress(sentTo)}</UserText> has an account, a mail with a link is on its way. The link works on
            any device, once.
          </Notice>
          <p className="text-sm text-ink-soft">
            No mail? Look among the spam, and check that this is the address of your account.
          </p>
          <SendAgain request={{ email: sentTo, next }} call={api.auth.requestPasswordReset.mutate} isSent />
        </>
      )}
    </AuthPage>
  )
}
