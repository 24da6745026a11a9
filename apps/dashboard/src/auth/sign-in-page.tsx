import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { Email } from '@keymeter/contract'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { returnRefusal, type SignInRefusal, signIn, signInWithProvider } from '../call/session.ts'
import { settings } from '../call/settings.ts'
import { api } from '../call/trpc.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthLink } from './auth-link.tsx'
import { AuthPage } from './auth-page.tsx'
import { OAuthButtons } from './oauth-buttons.tsx'
import { SendAgain } from './send-again.tsx'
import { useCaptcha } from './use-captcha.tsx'
import { useNext } from './use-next.ts'

/** The sign-in page does not check a minimum length. The minimum was perhaps smaller when the user chose the password. */
const SignIn = z.object({ email: Email, password: z.string().min(1, 'Enter your password.') })

export function SignInPage() {
  const navigate = useNavigate()
  const next = useNext()
  const [refusal, setRefusal] = useState<SignInRefusal | null>(
    returnRefusal === null ? null : { message: returnRefusal, isUnconfirmed: false },
  )
  const [email, setEmail] = useState('')
  const captcha = useCaptcha()
  const { register, handleSubmit, formState } = useForm({
    resolver: standardSchemaResolver(SignIn),
    defaultValues: { email: pendingInvitation()?.email ?? '', password: '' },
  })
  const submit = handleSubmit(async (input) => {
    setEmail(input.email)
    const refusal = await signIn(input.email, input.password, captcha.input)
    captcha.renew()
    setRefusal(refusal)
    if (refusal === null) await navigate({ href: next })
  })
  return (
    <AuthPage
      title="Sign in"
      footer={
        <>
          New here? <AuthLink to="/sign-up">Create an account</AuthLink>
        </>
      }
    >
      <form noValidate onSubmit={submit} className="grid gap-4">
        {refusal !== null && <Notice tone="danger">{refusal.message}</Notice>}
        {refusal?.isUnconfirmed && (
          <SendAgain key={email} request={{ email, next }} call={api.auth.resendConfirmation.mutate} isSent={false} />
        )}
        <TextField
          label="E-mail"
          type="email"
          autoComplete="email"
          error={formState.errors.email?.message}
          {...register('email')}
        />
        <TextField
          label="Password"
          type="password"
          autoComplete="current-password"
          error={formState.errors.password?.message}
          {...register('password')}
        />
        <p className="text-sm">
          <AuthLink to="/forgot">Forgot your password?</AuthLink>
        </p>
        {captcha.widget}
        <Button type="submit" isPending={formState.isSubmitting} disabled={captcha.isMissing}>
          Sign in
        </Button>
      </form>
      <OAuthButtons providers={settings.oauthProviders} start={(provider) => signInWithProvider(provider, next)} />
    </AuthPage>
  )
}
