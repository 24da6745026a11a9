import { reconcile } from '@keymeter/api/server'
import type { TestDatabase } from '@keymeter/local/testing'
import { expect } from 'vitest'
import type { Answered, Customer } from './metering.ts'

/**
 * Compares the database with the verdicts that the clients got. The database must contain one event for each request, and no
 * other event. Each hold must have ended at most once, as the verdicts say. The remaining credits must follow from the
 * verdicts, and all totals must agree with the events.
 */
export async function expectExact(
  { owner, ownerDb }: Pick<TestDatabase, 'owner' | 'ownerDb'>,
  customers: Customer[],
  answered: Answered[],
): Promise<void> {
  expect(await reconcile(ownerDb)).toEqual([])
  for (const { userId } of customers) {
    const events = await owner.query(
      `select events.idempotency_key as "idempotencyKey", events.action, about.idempotency_key as about, events.verdict,
              events.credits_requested::int as asked, events.credits_charged::int as charged, events.remaining::int
         from api_key_usage as events
         left join api_key_usage as about on about.user_id = events.user_id and about.sequence = events.refers_to
        where events.user_id = $1`,
      [userId],
    )
    const own = answered.filter(({ customer }) => customer.userId === userId)
    const expected = own.map((request) => ({
      idempotencyKey: request.idempotencyKey,
      action: request.action,
      about: 'about' in request ? request.about.idempotencyKey : null,
      verdict: request.verdict.verdict,
      asked: 'uncollected' in request.verdict ? request.verdict.credits + request.verdict.uncollected : request.credits,
      charged: chargedBy(request),
      remaining: 'remaining' in request.verdict ? request.verdict.remaining : null,
    }))
    expect(events.rows.sort(byKey)).toEqual(expected.sort(byKey))

    const holds = await owner.query(
      `select events.idempotency_key as "idempotencyKey", holds.credits::int, holds.outcome
         from credit_holds as holds left join api_key_usage as events using (user_id, sequence) where user_id = $1`,
      [userId],
    )
    const held = own
      .filter(({ verdict }) => verdict.verdict === 'held')
      .map(({ idempotencyKey, credits }) => {
        const ends = own.filter((end) => 'about' in end && end.about.idempotencyKey === idempotencyKey && isEnd(end))
        return { idempotencyKey, credits, outcome: ends.map(({ verdict }) => verdict.verdict).join(' and ') || null }
      })
    expect(holds.rows.sort(byKey)).toEqual(held.sort(byKey))

    const charged = expected.reduce((sum, event) => sum + event.charged, 0)
    const open = held.reduce((sum, { credits, outcome }) => sum + (outcome === null ? credits : 0), 0)
    const { rows } = await owner.query(
      `select credits_per_cycle::int - credits_used::int - credits_held::int as left, credits_per_cycle::int as granted
         from billing_accounts where user_id = $1`,
      [userId],
    )
    expect(rows[0]?.left).toBe(rows[0]?.granted - charged - open)
  }
}

const byKey = ({ idempotencyKey: a }: { idempotencyKey: string }, { idempotencyKey: b }: { idempotencyKey: string }) =>
  a < b ? -1 : 1
const isEnd = ({ verdict }: Answered) => verdict.verdict === 'settled' || verdict.verdict === 'released'
function chargedBy({ verdict }: Answered): number {
  if (verdict.verdict === 'charged' || verdict.verdict === 'settled') return verdict.credits
  return verdict.verdict === 'refunded' ? -verdict.credits : 0
}
