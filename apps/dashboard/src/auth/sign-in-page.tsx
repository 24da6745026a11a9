import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { Email } from '@keymeter/contract'
import { isAuthApiError } from '@supabase/supabase-js'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthPage } from './auth-page.tsx'
import { signIn, useSessionExpired } from './session.ts'

/** An old password may be shorter than a new one has to be. */
const SignIn = z.object({ email: Email, password: z.string().min(1, 'Enter your password.') })

export function SignInPage() {
  const navigate = useNavigate()
  const hasExpired = useSessionExpired()
  const [fault, setFault] = useState<string | null>(null)
  const { register, handleSubmit, formState } = useForm({
    resolver: standardSchemaResolver(SignIn),
    defaultValues: { email: '', password: '' },
  })
  const submit = handleSubmit(async ({ email, password }) => {
    setFault(null)
    try {
      await signIn(email, password)
      await navigate({ to: '/' })
    } catch (error) {
      setFault(describeSignInFault(error))
    }
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

function describeSignInFault(error: unknown): string {
  if (!isAuthApiError(error)) return 'The sign-in server cannot be reached. Check your connection and try again.'
  switch (error.code) {
    case 'invalid_credentials':
      return 'Wrong e-mail address or password.'
    case 'email_not_confirmed':
      return 'Confirm your address first: the link is in your e-mail.'
    case 'over_request_rate_limit':
      return 'Too many attempts. Wait a minute, then try again.'
    default:
      return 'Signing in failed. Try again in a moment.'
  }
}
