import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { Email } from '@keymeter/contract'
import type { User } from '@supabase/auth-js'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { z } from 'zod'
import { writtenAddress } from '../auth/written-address.ts'
import { changeAddress } from '../call/credentials.ts'
import { queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { UserText } from '../ui/user-text.tsx'
import { Section } from './section.tsx'

const ChangeAddress = z.object({ email: Email })

export function AddressSection({ user }: { user: User }) {
  const [fault, setFault] = useState<string | null>(null)
  const { register, handleSubmit, reset, formState } = useForm({
    resolver: standardSchemaResolver(ChangeAddress),
    defaultValues: { email: '' },
  })
  const submit = handleSubmit(async ({ email }) => {
    const refusal = email === user.email ? 'This is already your address.' : await changeAddress(email)
    setFault(refusal)
    if (refusal !== null) return
    reset()
    await queryClient.invalidateQueries({ queryKey: ['user'] })
  })
  return (
    <Section title="E-mail address">
      <p className="text-sm text-ink-soft">
        You sign in as{' '}
        {user.email ? (
          <strong className="wrap-anywhere font-medium text-ink">
            <UserText>{writtenAddress(user.email)}</UserText>
          </strong>
        ) : (
          'a user without an address'
        )}
        .
      </p>
      {user.new_email && <PendingAddress from={user.email} to={user.new_email} />}
      <form noValidate onSubmit={submit} className="grid gap-4 sm:max-w-md">
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
        <TextField
          label="New address"
          type="email"
          autoComplete="email"
          hint="You get an e-mail with a link. The address changes after you have opened it."
          error={formState.errors.email?.message}
          {...register('email')}
        />
        <div>
          <Button type="submit" isPending={formState.isSubmitting}>
            Change address
          </Button>
        </div>
      </form>
    </Section>
  )
}

/** Supabase Auth does not report whether the current address must confirm too. This is a setting of the project. */
function PendingAddress({ from, to }: { from: string | undefined; to: string }) {
  return (
    <Notice>
      <p className="wrap-anywhere">
        Your address will change to{' '}
        <strong className="font-medium">
          <UserText>{writtenAddress(to)}</UserText>
        </strong>
        . Open the link in the e-mail to that address.
        {from && (
          <>
            {' '}
            If <UserText>{writtenAddress(from)}</UserText> has got an e-mail, too, open its link as well.
          </>
        )}{' '}
        Until then, you sign in as before. If no e-mail arrives, enter the new address again.
      </p>
    </Notice>
  )
}
