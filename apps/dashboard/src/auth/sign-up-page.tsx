import { PASSWORD_LENGTH_MIN, SignUp } from '@keymeter/contract'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { showSecret } from '../account/new-secret.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { adoptSession, signInWithProvider } from '../call/session.ts'
import { settings } from '../call/settings.ts'
import { api } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { UserText } from '../ui/user-text.tsx'
import { AuthLink } from './auth-link.tsx'
import { AuthPage } from './auth-page.tsx'
import { OAuthButtons } from './oauth-buttons.tsx'
import { PasswordField } from './password-field.tsx'
import { SendAgain } from './send-again.tsx'
import { useCaptcha } from './use-captcha.tsx'
import { useNext } from './use-next.ts'
import { writtenAddress } from './written-address.ts'

export function SignUpPage() {
  const navigate = useNavigate()
  const next = useNext()
  const [unconfirmed, setUnconfirmed] = useState<string | null>(null)
  const { register, submit, errors, formState, fault } = useCallForm(SignUp, {
    email: pendingInvitation()?.email ?? '',
    password: '',
  })
  const captcha = useCaptcha()
  const signUp = submit(async (input) => {
    const { user, session, defaultKey } = await api.auth.signup
      .mutate({ ...input, next, ...captcha.input })
      .finally(captcha.renew)
    if (session === null) return setUnconfirmed(input.email)
    try {
      await adoptSession(session)
    } finally {
      // Show the secret even if `adoptSession` fails, because the server does not return the secret again.
      if (defaultKey !== null) showSecret(user.id, user.id, defaultKey)
    }
    await navigate({ href: next })
  })
  return (
    <AuthPage
      title={unconfirmed === null ? 'Create your account' : 'Check your e-mail'}
      footer={
        <>
          Have an account? <AuthLink to="/sign-in">Sign in</AuthLink>
        </>
      }
    >
      {unconfirmed === null ? (
        <>
          <form noValidate onSubmit={signUp} className="grid gap-4">
            {fault !== null && <ErrorNotice error={fault} />}
            <TextField label="E-mail" type="email" autoComplete="email" error={errors.email?.message} {...register('email')} />
            <PasswordField
              label="Password"
              hint={`At least ${PASSWORD_LENGTH_MIN} characters.`}
              error={errors.password?.message}
              {...register('password')}
            />
            {captcha.widget}
            <Button type="submit" isPending={formState.isSubmitting} disabled={captcha.isMissing}>
              Create account
            </Button>
          </form>
          <OAuthButtons providers={settings.oauthProviders} start={(provider) => signInWithProvider(provider, next)} />
        </>
      ) : (
        <>
          <Notice>
            Open the link in the mail to <UserText>{writtenAddress(unconfirmed)}</UserText>. It confirms your address and signs
            you in, on any device.
          </Notice>
          <p className="text-sm text-ink-soft">
            No mail? Look among the spam. If you already have an account with this address, sign in, or{' '}
            <AuthLink to="/forgot">set a new password</AuthLink>.
          </p>
          <SendAgain request={{ email: unconfirmed, next }} call={api.auth.resendConfirmation.mutate} isSent />
        </>
      )}
    </AuthPage>
  )
}
