import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { Email } from '@keymeter/contract'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { hasReturnedRefused, signIn, useSessionExpired } from '../call/session.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthPage } from './auth-page.tsx'

/** The sign-in page does not check a minimum length. The minimum was perhaps smaller when the user chose the password. */
const SignIn = z.object({ email: Email, password: z.string().min(1, 'Enter your password.') })

export function SignInPage() {
  const navigate = useNavigate()
  const hasExpired = useSessionExpired()
  const [fault, setFault] = useState(
    hasReturnedRefused ? 'Signing in with Google failed. Try again, or use your e-mail address.' : null,
  )
  const { register, handleSubmit, formState } = useForm({
    resolver: standardSchemaResolver(SignIn),
    defaultValues: { email: pendingInvitation()?.email ?? '', password: '' },
  })
  const submit = handleSubmit(async ({ email, password }) => {
    const refusal = await signIn(email, password)
    setFault(refusal)
    if (refusal === null) await navigate({ to: '/' })
  })
  return (
    <AuthPage
      title="Sign in"
      footer={
        <>
          New here?{' '}
          <Link to="/sign-up" className="font-medium text-accent underline underline-offset-2">
            Create an account
          </Link>
        </>
      }
    >
      <form noValidate onSubmit={submit} className="grid gap-4">
        {hasExpired && fault === null && <Notice>Your session has expired. Sign in again.</Notice>}
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
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
        <Button type="submit" isPending={formState.isSubmitting}>
          Sign in
        </Button>
      </form>
    </AuthPage>
  )
}
