import type { HoldVerdict, Known, RefundVerdict, ReleaseVerdict, SettleVerdict, Verdict } from '@keymeter/contract'
import { encodeEventId } from './event-id.ts'
import type { Action, BatchItem, Decision } from './meter-batch.ts'

/** What each action may be answered. */
export interface VerdictOf extends Record<Action, unknown> {
  charge: Verdict
  hold: HoldVerdict
  settle: SettleVerdict
  release: ReleaseVerdict
  refund: RefundVerdict
}

/** The decision as the caller is told it. */
export function toVerdict({ userId }: BatchItem, decision: Decision): VerdictOf[Action] {
  const { verdict, sequence, credits_requested: credits } = decision
  switch (verdict) {
    case 'not_found':
    case 'conflict':
    case 'operation_limit_exceeded':
    case 'hold_limit_exceeded':
      return { verdict }
  }
  const known = whatIsKnown(userId, decision)
  switch (verdict) {
    case 'charged':
      // A verify leaves no event, and there is nothing to refund.
      return { verdict, ...known, credits, chargeId: sequence === null ? null : encodeEventId('charge', userId, sequence) }
    case 'held':
      return { verdict, ...known, credits, holdId: eventId('hold', userId, sequence), expiresAt: iso(decision.expires_at) }
    case 'settled':
      return { verdict, ...known, credits, chargeId: eventId('charge', userId, sequence) }
    case 'released':
      return { verdict, ...known, credits }
    case 'refunded':
      return { verdict, ...known, credits, becameTopUp: decision.credits_charged === 0 }
    case 'revoked':
    case 'disabled':
    case 'expired':
    case 'account_suspended':
    case 'insufficient_credits':
    case 'key_limit_exceeded':
    case 'hold_expired':
    case 'hold_ended':
    case 'exceeds_hold':
    case 'exceeds_charge':
      return { verdict, ...known }
  }
  throw new Error(`the database decided ${verdict}, which is no verdict`)
}

function whatIsKnown(userId: string, { api_key_id, key_type, remaining, cycle_end, is_replayed }: Decision): Known {
  if (api_key_id === null || key_type === null || remaining === null)
    throw new Error('a verdict on a known key came without it')
  return { keyId: api_key_id, accountId: userId, keyType: key_type, remaining, cycleEnd: iso(cycle_end), replayed: is_replayed }
}

function eventId(kind: 'charge' | 'hold', userId: string, sequence: number | null): string {
  if (sequence === null) throw new Error('a verdict that is to be remembered came without its event')
  return encodeEventId(kind, userId, sequence)
}

function iso(moment: Date | null): string {
  if (moment === null) throw new Error('a verdict came without its moment')
  return moment.toISOString()
}
