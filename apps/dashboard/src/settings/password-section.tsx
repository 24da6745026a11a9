import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { PASSWORD_LENGTH_MIN, Password } from '@keymeter/contract'
import type { User } from '@supabase/auth-js'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { useCaptcha } from '../auth/use-captcha.tsx'
import { changePassword, hasPassword } from '../call/credentials.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'
import { Section } from './section.tsx'

const ChangePassword = z.object({
  current: z.string().min(1, 'Enter your current password.'),
  next: Password,
  code: z.string(),
})
const NOTHING_YET = { current: '', next: '', code: '' }

export function PasswordSection({ user }: { user: User }) {
  return (
    <Section title="Password">
      {hasPassword(user) ? (
        <PasswordForm email={user.email ?? ''} />
      ) : (
        <p className="text-sm text-ink-soft">
          You sign in without a password. <ResetLink>Set one by e-mail</ResetLink> if you want to sign in with your address,
          too.
        </p>
      )}
    </Section>
  )
}

function PasswordForm({ email }: { email: string }) {
  const [fault, setFault] = useState<string | null>(null)
  const [needsCode, setNeedsCode] = useState(false)
  const { register, handleSubmit, reset, formState } = useForm({
    resolver: standardSchemaResolver(ChangePassword),
    defaultValues: NOTHING_YET,
  })
  const captcha = useCaptcha()
  const submit = handleSubmit(async (input) => {
    setFault(null)
    const change = await changePassword(input, captcha.input)
    captcha.renew()
    if (change.outcome === 'refused') return setFault(change.fault)
    setNeedsCode(change.outcome === 'needsCode')
    if (change.outcome === 'needsCode') return
    reset()
    announce('Your password is changed. Your other sessions have ended.')
  })
  return (
    <form noValidate onSubmit={submit} className="grid gap-4 sm:max-w-md">
      {fault !== null && <Notice tone="danger">{fault}</Notice>}
      {/* Password managers find the account by this field. */}
      <input type="hidden" name="username" autoComplete="username" value={email} />
      <TextField
        label="Current password"
        type="password"
        autoComplete="current-password"
        error={formState.errors.current?.message}
        {...register('current')}
      />
      <TextField
        label="New password"
        type="password"
        autoComplete="new-password"
        hint={`At least ${PASSWORD_LENGTH_MIN} characters. Your other sessions end.`}
        error={formState.errors.next?.message}
        {...register('next')}
      />
      {needsCode && (
        <>
          <Notice>We have sent a code to your address. Enter it to confirm that it is you.</Notice>
          <TextField label="Code from the e-mail" inputMode="numeric" autoComplete="one-time-code" {...register('code')} />
        </>
      )}
      {captcha.widget}
      <div className="flex flex-wrap items-center gap-4">
        <Button type="submit" isPending={formState.isSubmitting} disabled={captcha.isMissing}>
          Change password
        </Button>
        <span className="text-sm">
          <ResetLink>Forgot your password?</ResetLink>
        </span>
      </div>
    </form>
  )
}

function ResetLink({ children }: { children: string }) {
  return (
    <a href="/forgot" className="font-medium text-accent underline underline-offset-2">
      {children}
    </a>
  )
}
