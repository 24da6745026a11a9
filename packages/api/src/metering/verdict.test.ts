import { randomUUID } from 'node:crypto'
import {
  ChargeVerdict,
  DECIDED,
  EventVerdict,
  HoldVerdict,
  Reason,
  RefundVerdict,
  ReleaseVerdict,
  SettleVerdict,
} from '@keymeter/contract'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type { Action, Decision } from './meter-batch.ts'
import { toChargeVerdict, toHoldVerdict, toRefundVerdict, toReleaseVerdict, toSettleVerdict } from './verdict.ts'

const userId = randomUUID()
const decision = (verdict: string): Decision => ({
  verdict,
  is_replayed: false,
  sequence: 7,
  api_key_id: randomUUID(),
  key_type: 'dev',
  credits_requested: 5,
  credits_charged: 5,
  remaining: 995,
  credits_held: 7,
  cycle_end: new Date(),
  expires_at: new Date(),
})
const actions = {
  charge: [ChargeVerdict, toChargeVerdict],
  hold: [HoldVerdict, toHoldVerdict],
  settle: [SettleVerdict, toSettleVerdict],
  release: [ReleaseVerdict, toReleaseVerdict],
  refund: [RefundVerdict, toRefundVerdict],
} as const satisfies Record<Action, unknown>
const all = Object.entries(actions).map(([action, [schema, convert]]) => {
  const words: readonly string[] = DECIDED[action as Action].options
  return { action, words, schema, convert }
})

describe('the verdicts of the database', () => {
  it.each(all)(
    'each verdict of the database about a $action is converted to the same verdict of the contract',
    ({ words, schema, convert }) => {
      for (const verdict of words) {
        const converted = convert(userId, decision(verdict))
        expect(schema.parse(converted)).toEqual(converted)
        expect(converted.verdict).toBe(verdict)
      }
    },
  )

  it.each(all)('a verdict that a $action cannot have causes an error', ({ words, convert }) => {
    const others = all.flatMap((other) => other.words).filter((word) => !words.includes(word))
    for (const verdict of ['rate_limited', 'overloaded', '', ...others])
      expect(() => convert(userId, decision(verdict))).toThrow(`"${verdict}"`)
  })
})

describe('the lists of verdicts', () => {
  it('no word is both a reason and a verdict', () => {
    type Any = ChargeVerdict | HoldVerdict | SettleVerdict | ReleaseVerdict | RefundVerdict
    expectTypeOf<Extract<Reason, Any['verdict']>>().toBeNever()
    const verdicts = new Set(['overloaded', ...all.flatMap(({ words }) => words)])
    expect(Reason.options.filter((reason) => verdicts.has(reason))).toEqual([])
  })

  it('the database can return each verdict that an action can have, except overloaded', () => {
    expectTypeOf<(typeof DECIDED.charge)['options'][number] | 'overloaded'>().toEqualTypeOf<ChargeVerdict['verdict']>()
    expectTypeOf<(typeof DECIDED.hold)['options'][number] | 'overloaded'>().toEqualTypeOf<HoldVerdict['verdict']>()
    expectTypeOf<(typeof DECIDED.settle)['options'][number] | 'overloaded'>().toEqualTypeOf<SettleVerdict['verdict']>()
    expectTypeOf<(typeof DECIDED.release)['options'][number] | 'overloaded'>().toEqualTypeOf<ReleaseVerdict['verdict']>()
    expectTypeOf<(typeof DECIDED.refund)['options'][number] | 'overloaded'>().toEqualTypeOf<RefundVerdict['verdict']>()
  })

  it('the verdicts of usage events are exactly those verdicts that contain the id of a key', () => {
    type Any = ChargeVerdict | HoldVerdict | SettleVerdict | ReleaseVerdict | RefundVerdict
    expectTypeOf<EventVerdict>().toEqualTypeOf<Extract<Any, { keyId: string }>['verdict']>()
    const recorded = all.flatMap(({ words, convert }) => words.filter((word) => 'keyId' in convert(userId, decision(word))))
    expect(new Set<string>(EventVerdict.options)).toEqual(new Set(recorded))
  })
})
