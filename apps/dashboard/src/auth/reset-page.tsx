import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { PASSWORD_LENGTH_MIN, Password } from '@keymeter/contract'
import type { User } from '@supabase/auth-js'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { setPassword, useSession } from '../call/session.ts'
import { SecondFactorGate } from '../step-up/second-factor-gate.tsx'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { AuthLink } from './auth-link.tsx'
import { AuthPage } from './auth-page.tsx'
import { PasswordField } from './password-field.tsx'
import { forgetRecovery, recoveringUserId } from './recovery.ts'
import { useNext } from './use-next.ts'
import { writtenAddress } from './written-address.ts'

const NewPassword = z.object({ password: Password })

/**
 * Sets a new password. Only a person who has opened the link of a mail in this tab can use the page. Supabase Auth changes the password
 * of a person with a second factor only after a code.
 */
export function ResetPage() {
  const user = useSession()?.user
  const recoveringId = recoveringUserId()
  if (user !== undefined && recoveringId === user.id)
    return (
      <SecondFactorGate>
        <SetPassword user={user} />
      </SecondFactorGate>
    )
  const isOther = user?.email !== undefined && recoveringId !== null
  return (
    <AuthPage title="Set a new password">
      {isOther && (
        <Notice tone="danger">
          You are now signed in as <UserText>{writtenAddress(user.email ?? '')}</UserText>, and the link was for another person.
        </Notice>
      )}
      <Notice>
        To set a new password, open the link in the mail. <AuthLink to="/forgot">Ask for a mail</AuthLink>
      </Notice>
    </AuthPage>
  )
}

function SetPassword({ user }: { user: User }) {
  const navigate = useNavigate()
  const next = useNext()
  const [fault, setFault] = useState<string | null>(null)
  const { register, handleSubmit, formState } = useForm({
    resolver: standardSchemaResolver(NewPassword),
    defaultValues: { password: '' },
  })
  const submit = handleSubmit(async ({ password }) => {
    const change = await setPassword(password)
    if ('fault' in change) return setFault(change.fault)
    forgetRecovery()
    announce(
      change.isElsewhereSignedIn
        ? 'Your password is changed. Your other devices could not be signed out: sign out there, or change it again.'
        : 'Your password is changed. All your other devices are signed out.',
    )
    await navigate({ href: next })
  })
  return (
    <AuthPage title="Set a new password">
      <form noValidate onSubmit={submit} className="grid gap-4">
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
        {user.email !== undefined && (
          <p className="text-sm text-ink-soft">
            For <UserText>{writtenAddress(user.email)}</UserText>. All other devices will be signed out.
          </p>
        )}
        {/* Password managers store the password for this address. */}
        <input type="text" autoComplete="username" value={user.email ?? ''} readOnly hidden />
        <PasswordField
          label="New password"
          hint={`At least ${PASSWORD_LENGTH_MIN} characters.`}
          error={formState.errors.password?.message}
          {...register('password')}
        />
        <Button type="submit" isPending={formState.isSubmitting}>
          Set password
        </Button>
      </form>
    </AuthPage>
  )
}
