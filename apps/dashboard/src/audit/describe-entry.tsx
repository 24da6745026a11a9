import type { AuditEntry } from '@keymeter/contract'
import { Fragment, type ReactNode } from 'react'
import { z } from 'zod'
import { KeyName } from '../keys/key-name.tsx'
import { countCredits, formatCredits, formatMoment } from '../ui/format.ts'
import { UserText } from '../ui/user-text.tsx'
import { ACTION_LABELS } from './action-labels.ts'

type EntryDetail = AuditEntry['detail']

/** Returns the change in words, e.g. `Renamed from a to b`. */
export function describeEntry({ action, detail, createdAt }: AuditEntry): ReactNode {
  const label = ACTION_LABELS[action]
  switch (action) {
    case 'key.updated':
      return describeUpdate(detail) ?? label
    case 'key.rotated':
      return `${label}, ${describeGrace(detail, createdAt)}`
    case 'key.revoked':
      // A revoke by the operator can have a reason.
      return withText(label, detail['reason'])
    case 'account.topped_up':
      return withText(`${label} by ${countCredits(creditsOf(detail))}`, detail['note'])
    case 'account.top_up_taken_back':
      return withText(`${countCredits(creditsOf(detail))} of a top-up taken back`, detail['note'])
    case 'account.plan_changed':
      return (
        <>
          {label} to <UserText>{z.string().safeParse(detail['plan']).data ?? 'another'}</UserText>
        </>
      )
    case 'account.free_credits_granted':
      return `${label}: ${formatCredits(creditsOf(detail))} per cycle`
    case 'account.renamed': {
      const name = change(z.string().nullable(), detail['name'])
      return name?.to == null ? `${label}: no name` : withText(label, name.to)
    }
    case 'account.second_factor_changed':
      return `${label} ${detail['isRequired'] === true ? 'required' : 'no longer required'}`
    case 'member.invited':
    case 'member.joined':
    case 'member.invitation_revoked':
      return withText(`${label} as ${String(detail['role'])}`, detail['email'])
    case 'member.role_changed': {
      const role = change(z.string(), detail['role'])
      return withText(role === null ? label : `${label} from ${role.from} to ${role.to}`, detail['email'])
    }
    case 'member.removed':
      return withText(label, detail['email'])
    default:
      return label
  }
}

/** Adds a text that a person wrote, e.g. a note of the operator, if there is one. */
function withText(what: string, written: unknown): ReactNode {
  const text = z.string().safeParse(written).data
  if (text === undefined) return what
  return (
    <>
      {what}: <UserText>{text}</UserText>
    </>
  )
}

function creditsOf(detail: EntryDetail): number {
  return z.number().safeParse(detail['credits']).data ?? 0
}

/** Returns null if this version of the page does not know the format of the change. */
function describeUpdate(detail: EntryDetail): ReactNode {
  const name = change(z.string(), detail['name'])
  const limit = change(z.number().nullable(), detail['creditLimit'])
  const expiry = change(z.string().nullable(), detail['expiresAt'])
  const changes: { what: string; text: ReactNode }[] = []
  if (name !== null)
    changes.push({
      what: 'renamed',
      text: (
        <>
          {' '}
          from <KeyName name={name.from} /> to <KeyName name={name.to} />
        </>
      ),
    })
  if (limit !== null)
    changes.push({ what: 'limit', text: ` changed from ${describeLimit(limit.from)} to ${describeLimit(limit.to)}` })
  if (expiry !== null)
    changes.push({ what: 'expiry', text: ` changed from ${describeExpiry(expiry.from)} to ${describeExpiry(expiry.to)}` })
  if (changes.length === 0) return null
  return changes.map(({ what, text }, i) => (
    <Fragment key={what}>
      {i === 0 ? what.charAt(0).toUpperCase() + what.slice(1) : `, ${what}`}
      {text}
    </Fragment>
  ))
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
  if (seconds === 0) return 'previous secret ended immediately'
  return `previous secret until ${formatMoment(new Date(Date.parse(rotatedAt) + seconds * 1000).toISOString())}`
}
