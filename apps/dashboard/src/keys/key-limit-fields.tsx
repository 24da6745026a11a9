import type { ComponentProps } from 'react'
import { TextField } from '../ui/field.tsx'

interface KeyLimitFieldsProps {
  expiresAt: Partial<ComponentProps<typeof TextField>>
  creditLimit: Partial<ComponentProps<typeof TextField>>
}

export function KeyLimitFields({ expiresAt, creditLimit }: KeyLimitFieldsProps) {
  return (
    <div className="grid items-start gap-5 sm:grid-cols-[auto_minmax(0,1fr)]">
      <TextField label="Expires" type="datetime-local" hint="Your local time. Optional." {...expiresAt} />
      <TextField
        label="Credit limit"
        inputMode="numeric"
        autoComplete="off"
        hint="Per billing cycle. Optional."
        {...creditLimit}
      />
    </div>
  )
}
