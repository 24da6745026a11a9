import type { ComponentProps } from 'react'
import { TextField } from '../ui/field.tsx'
import { countCredits } from '../ui/format.ts'
import { Notice } from '../ui/notice.tsx'
import { describeLocalTime } from '../ui/time-zone.ts'
import { ExpiryNotice } from './expiry-notice.tsx'
import { KeyForm, type KeyFormInput } from './key-form.ts'

interface KeyLimitFieldsProps {
  expiresAt: Partial<ComponentProps<typeof TextField>>
  creditLimit: Partial<ComponentProps<typeof TextField>>
  /** The values that the fields show now. */
  chosen: Pick<KeyFormInput, 'expiresAt' | 'creditLimit'>
  /** The credits that the key has used in this billing cycle. */
  creditsUsed: number
}

/** The fields for the expiry and the credit limit. Warns if the key would soon stop working with these values. */
export function KeyLimitFields({ expiresAt, creditLimit, chosen, creditsUsed }: KeyLimitFieldsProps) {
  const expiry = KeyForm.shape.expiresAt.safeParse(chosen.expiresAt).data ?? null
  const limit = KeyForm.shape.creditLimit.safeParse(chosen.creditLimit).data ?? null
  return (
    <div className="grid gap-4">
      <div className="grid items-start gap-5 sm:grid-cols-[auto_minmax(0,1fr)]">
        <TextField label="Expires" type="datetime-local" hint={`${describeLocalTime()} Optional.`} {...expiresAt} />
        <TextField
          label="Credit limit"
          inputMode="numeric"
          autoComplete="off"
          hint="Per billing cycle. Optional."
          {...creditLimit}
        />
      </div>
      {expiry !== null && <ExpiryNotice expiresAt={expiry} />}
      {limit !== null && limit <= creditsUsed && (
        <Notice>
          {creditsUsed > 0 && `The key has used ${countCredits(creditsUsed)} in this billing cycle. `}
          With this limit, {limit === 0 ? 'all its charges are refused.' : 'its charges are refused until the cycle ends.'}
        </Notice>
      )}
    </div>
  )
}
