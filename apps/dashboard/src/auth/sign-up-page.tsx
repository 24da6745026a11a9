import { InvitationToken, PASSWORD_LENGTH_MIN, SignUp } from '@keymeter/contract'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { showSecret } from '../account/new-secret.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { adoptSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { pendingInvitation } from '../invite/pending-invitation.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthPage } from './auth-page.tsx'

export function SignUpPage() {
  const navigate = useNavigate()
  const [mustConfirm, setMustConfirm] = useState(false)
  const { register, submit, errors, formState, fault } = useCallForm(SignUp, {
    email: pendingInvitation()?.email ?? '',
    password: '',
  })
  const signUp = submit(async (input) => {
    const invitation = InvitationToken.safeParse(pendingInvitation()?.token).data
    const { user, session, defaultKey } = await api.auth.signup.mutate({ ...input, invitation })
    if (session === null) return setMustConfirm(true)
    try {
      await adoptSession(session)
    } finally {
      // Show the secret even if `adoptSession` fails, because the server does not return the secret again.
      if (defaultKey !== null) showSecret(user.id, user.id, defaultKey)
    }
    await navigate({ to: '/' })
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
        <form noValidate onSubmit={signUp} className="grid gap-4">
          {fault !== null && <ErrorNotice error={fault} />}
          <TextField label="E-mail" type="email" autoComplete="email" error={errors.email?.message} {...register('email')} />
          <TextField
            label="Password"
            type="password"
            autoComplete="new-password"
            hint={`At least ${PASSWORD_LENGTH_MIN} characters.`}
            error={errors.password?.message}
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
