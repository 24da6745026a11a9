import type { AuditEntry } from '@keymeter/contract'
import { z } from 'zod'
import { formatCredits, formatMoment } from '../ui/format.ts'

type EntryDetail = AuditEntry['detail']

/** Returns the change in words, e.g. `Renamed from a to b`. */
export function describeEntry({ action, detail, createdAt }: AuditEntry): string {
  switch (action) {
    case 'key.created':
      return 'Created'
    case 'key.updated':
      return describeUpdate(detail)
    case 'key.disabled':
      return 'Disabled'
    case 'key.enabled':
      return 'Enabled'
    case 'key.rotated':
      return `Rotated, ${describeGrace(detail, createdAt)}`
    case 'key.grace_ended':
      return 'Old secret ended early'
    case 'key.secret_saved':
      return 'Secret saved'
    case 'key.secret_replaced':
      return 'Lost secret replaced'
    case 'key.revoked':
      return 'Revoked'
    case 'account.topped_up':
      return `Topped up by ${formatCredits(z.number().safeParse(detail['credits']).data ?? 0)} credits`
    case 'account.top_up_taken_back':
      return `${formatCredits(z.number().safeParse(detail['credits']).data ?? 0)} credits of a top-up taken back`
    case 'account.plan_changed':
      return `Plan changed to ${z.string().safeParse(detail['plan']).data ?? 'another'}`
    case 'account.suspended':
      return 'Account suspended'
    case 'account.resumed':
      return 'Account resumed'
    case 'account.free_credits_granted':
      return `Free credits granted: ${formatCredits(z.number().safeParse(detail['credits']).data ?? 0)} per cycle`
  }
}

function describeUpdate(detail: EntryDetail): string {
  const name = change(z.string(), detail['name'])
  const limit = change(z.number().nullable(), detail['creditLimit'])
  const expiry = change(z.string().nullable(), detail['expiresAt'])
  const changes = [
    name && `renamed from ${name.from} to ${name.to}`,
    limit && `limit changed from ${describeLimit(limit.from)} to ${describeLimit(limit.to)}`,
    expiry && `expiry changed from ${describeExpiry(expiry.from)} to ${describeExpiry(expiry.to)}`,
  ]
  const text = changes.filter((one) => one !== null).join(', ')
  return text === '' ? 'Changed' : text.charAt(0).toUpperCase() + text.slice(1)
}

/**
 * Returns null if the field did not change. Also returns null if this version of the page does not know the format of the
 * change.
 */
function change<T>(value: z.ZodType<T>, detail: unknown): { from: T; to: T } | null {
  return z.object({ from: value, to: value }).safeParse(detail).data ?? null
}

function describeLimit(credits: number | null): string {
  return credits === null ? 'none' : formatCredits(credits)
}

function describeExpiry(iso: string | null): string {
  return iso === null ? 'never' : formatMoment(iso)
}

function describeGrace(detail: EntryDetail, rotatedAt: string): string {
  const seconds = z.number().safeParse(detail['graceSeconds']).data ?? 0
  if (seconds === 0) return 'old secret ended immediately'
  return `old secret until ${formatMoment(new Date(Date.parse(rotatedAt) + seconds * 1000).toISOString())}`
}
