import {
  type ChargeVerdict,
  DECIDED,
  type HoldVerdict,
  type Known,
  type RefundVerdict,
  type ReleaseVerdict,
  type SettleVerdict,
} from '@keymeter/contract'
import type { z } from 'zod'
import { encodeEventId } from './event-id.ts'
import type { Decision } from './meter-batch.ts'

// These functions turn the decisions of the database into verdicts of the contract. Each function throws if the verdict is not
// possible for its action. The decision is already committed then, and a retry throws again. So the caller gets an internal
// error instead of a wrong answer.

export function toChargeVerdict(userId: string, decision: Decision): ChargeVerdict {
  const { sequence, credits_requested: credits } = decision
  const verdict = parseVerdict(DECIDED.charge, decision)
  switch (verdict) {
    case 'charged':
      // A verify (0 credits, no idempotency key) records no usage event, so there is no charge to refund.
      return {
        verdict,
        ...known(userId, decision),
        credits,
        chargeId: sequence === null ? null : encodeEventId('charge', userId, sequence),
      }
    case 'revoked':
    case 'disabled':
    case 'expired':
    case 'account_suspended':
      return { verdict, ...known(userId, decision) }
    case 'insufficient_credits':
    case 'key_limit_exceeded':
      return { verdict, ...known(userId, decision), creditsHeld: creditsHeld(decision) }
    case 'not_found':
    case 'conflict':
    case 'operation_limit_exceeded':
      return { verdict }
    default:
      return verdict satisfies never
  }
}

export function toHoldVerdict(userId: string, decision: Decision): HoldVerdict {
  const { credits_requested: credits, expires_at } = decision
  const verdict = parseVerdict(DECIDED.hold, decision)
  switch (verdict) {
    case 'held':
      return {
        verdict,
        ...known(userId, decision),
        credits,
        holdId: eventId('hold', userId, decision),
        expiresAt: iso(expires_at),
      }
    case 'revoked':
    case 'disabled':
    case 'expired':
    case 'account_suspended':
      return { verdict, ...known(userId, decision) }
    case 'insufficient_credits':
    case 'key_limit_exceeded':
      return { verdict, ...known(userId, decision), creditsHeld: creditsHeld(decision) }
    case 'not_found':
    case 'conflict':
    case 'operation_limit_exceeded':
    case 'hold_limit_exceeded':
      return { verdict }
    default:
      return verdict satisfies never
  }
}

export function toSettleVerdict(userId: string, decision: Decision): SettleVerdict {
  const { credits_requested, credits_charged: credits } = decision
  const verdict = parseVerdict(DECIDED.settle, decision)
  switch (verdict) {
    case 'settled':
      return {
        verdict,
        ...known(userId, decision),
        chargeId: eventId('charge', userId, decision),
        credits,
        uncollected: credits_requested - credits,
      }
    case 'hold_expired':
    case 'hold_ended':
      return { verdict, ...known(userId, decision) }
    case 'not_found':
    case 'conflict':
      return { verdict }
    default:
      return verdict satisfies never
  }
}

export function toReleaseVerdict(userId: string, decision: Decision): ReleaseVerdict {
  const verdict = parseVerdict(DECIDED.release, decision)
  switch (verdict) {
    case 'released':
      return { verdict, ...known(userId, decision), credits: decision.credits_requested }
    case 'hold_expired':
    case 'hold_ended':
      return { verdict, ...known(userId, decision) }
    case 'not_found':
    case 'conflict':
      return { verdict }
    default:
      return verdict satisfies never
  }
}

export function toRefundVerdict(userId: string, decision: Decision): RefundVerdict {
  const { credits_requested: credits, credits_charged } = decision
  const verdict = parseVerdict(DECIDED.refund, decision)
  switch (verdict) {
    case 'refunded':
      // `credits_charged` is negative if the refund counts in the cycle of its charge. It is 0 if the refund became a top-up,
      // because a top-up does not change the usage.
      return { verdict, ...known(userId, decision), credits, becameTopUp: credits_charged === 0 }
    case 'exceeds_charge':
      return { verdict, ...known(userId, decision) }
    case 'not_found':
    case 'conflict':
      return { verdict }
    default:
      return verdict satisfies never
  }
}

function parseVerdict<Word extends string>(words: z.ZodType<Word>, { verdict }: Decision): Word {
  const { data } = words.safeParse(verdict)
  if (data === undefined) throw new Error(`the database decided "${verdict}", which is not a verdict on this action`)
  return data
}

function known(userId: string, { api_key_id, key_type, remaining, cycle_end, is_replayed }: Decision): Known {
  if (api_key_id === null || key_type === null || remaining === null)
    throw new Error('the database decided about a known key, but did not return the key')
  return { keyId: api_key_id, accountId: userId, keyType: key_type, remaining, cycleEnd: iso(cycle_end), replayed: is_replayed }
}

function eventId(kind: 'charge' | 'hold', userId: string, { sequence }: Decision): string {
  if (sequence === null) throw new Error('the database did not return the event that it recorded')
  return encodeEventId(kind, userId, sequence)
}

function creditsHeld({ credits_held }: Decision): number {
  if (credits_held === null) throw new Error('the database did not return the held credits')
  return credits_held
}

function iso(moment: Date | null): string {
  if (moment === null) throw new Error('the database did not return a moment of its decision')
  return moment.toISOString()
}
