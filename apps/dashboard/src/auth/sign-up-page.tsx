import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { PASSWORD_LENGTH_MIN, SignUp } from '@keymeter/contract'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { showSecret } from '../account/new-secret.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { fieldFaults } from '../call/field-faults.ts'
import { adoptSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthPage } from './auth-page.tsx'

export function SignUpPage() {
  const navigate = useNavigate()
  const [fault, setFault] = useState<CallError | null>(null)
  const [mustConfirm, setMustConfirm] = useState(false)
  const { register, handleSubmit, setError, formState } = useForm({
    resolver: standardSchemaResolver(SignUp),
    defaultValues: { email: '', password: '' },
  })
  const submit = handleSubmit(async (input) => {
    setFault(null)
    try {
      const { user, session, defaultKey } = await api.auth.signup.mutate(input)
      if (session === null) return setMustConfirm(true)
      try {
        await adoptSession(session)
      } finally {
        // Whatever became of the session: nobody will tell the secret again.
        if (defaultKey !== null) showSecret(user.id, defaultKey)
      }
      await navigate({ to: '/' })
    } catch (error) {
      const callError = describeCallError(error)
      const faults = fieldFaults(callError, ['email', 'password'])
      for (const { field, message } of faults) setError(field, { message }, { shouldFocus: true })
      if (faults.length === 0) setFault(callError)
    }
  })
  return (
    <AuthPage
      title="Create your account"
      footer={
        <>
          Have an account?{' '}
          <Link to="/sign-in" className="font-medium text-accent underline underline-offset-2">
            Sign in
          </Link>
        </>
      }
    >
      {mustConfirm ? (
        <Notice>Check your e-mail to confirm your address, then sign in.</Notice>
      ) : (
        <form noValidate onSubmit={submit} className="grid gap-4">
          {fault !== null && <ErrorNotice error={fault} />}
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
            autoComplete="new-password"
            hint={`At least ${PASSWORD_LENGTH_MIN} characters.`}
            error={formState.errors.password?.message}
            {...register('password')}
          />
          <Button type="submit" isPending={formState.isSubmitting}>
            Create account
          </Button>
        </form>
      )}
    </AuthPage>
  )
}
