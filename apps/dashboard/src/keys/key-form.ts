import { hasNoWholeSecret, type Key, KeyName, UpdateKey } from '@keymeter/contract'
import type { FormEvent } from 'react'
import { z } from 'zod'
import { parseLocalText, toLocalText } from '../ui/time-zone.ts'

/** The value of the browser's date field: the time in the chosen time zone, to the minute. An empty value means that the key never expires. */
const ExpiryText = z
  .string()
  .refine((text) => text === '' || !Number.isNaN(parseLocalText(text)), 'Enter a date and time, or nothing.')
  .transform((text) => (text === '' ? null : new Date(parseLocalText(text)).toISOString()))

/**
 * An empty text means that there is no limit. The field is a text field, because a browser reports a number field with invalid
 * text as empty.
 */
const CreditLimitText = z
  .string()
  .trim()
  .transform((text) => (text === '' ? null : /^-?\d+$/.test(text) ? Number(text) : Number.NaN))
  .pipe(UpdateKey.shape.creditLimit.unwrap())

/** The message of the API asks for a key prefix, which is not a name. */
const NameText = z.string().refine(hasNoWholeSecret, 'This is a whole secret. Enter a name.').pipe(KeyName)

/** The fields of a key that can be changed after the key was created. */
export const KeyForm = z.object({ name: NameText, expiresAt: ExpiryText, creditLimit: CreditLimitText })
export type KeyFormInput = z.input<typeof KeyForm>

export function toKeyForm({ name, expiresAt, creditLimit }: Pick<Key, 'name' | 'expiresAt' | 'creditLimit'>): KeyFormInput {
  return {
    name,
    expiresAt: expiresAt === null ? '' : toLocalText(Date.parse(expiresAt)),
    creditLimit: creditLimit === null ? '' : String(creditLimit),
  }
}

/**
 * Returns a submit handler that refuses an incomplete date. The browser reports an incomplete date as an empty text, and an
 * empty text would mean that the key never expires.
 */
export function withCompleteExpiry(
  submit: (event: SubmitEvent) => Promise<void>,
  refuse: (message: string) => void,
): (event: SubmitEvent) => void {
  return (event) => {
    const field = event.currentTarget.elements.namedItem('expiresAt')
    if (!(field instanceof HTMLInputElement && field.validity.badInput)) return void submit(event)
    event.preventDefault()
    refuse('Enter both date and time, or nothing.')
  }
}

type SubmitEvent = FormEvent<HTMLFormElement>
