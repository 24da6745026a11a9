import type { ComponentProps } from 'react'
import { TextField } from '../ui/field.tsx'

interface KeyLimitFieldsProps {
  expiresAt: Partial<ComponentProps<typeof TextField>>
  creditLimit: Partial<ComponentProps<typeof TextField>>
}

/** When a key ends by itself, and what it may spend until it starts anew. */
export function KeyLimitFields({ expiresAt, creditLimit }: KeyLimitFieldsProps) {
  return (
    <div className="grid items-start gap-5 sm:grid-cols-[auto_minmax(0,1fr)]">
      <TextField label="Expires" type="datetime-local" hint="In your time. Empty: never." {...expiresAt} />
      <TextField
        label="Credit limit"
        inputMode="numeric"
        autoComplete="off"
        hint="For each billing cycle. Empty: none."
        {...creditLimit}
      />
    </div>
  )
}
