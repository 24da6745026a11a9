import {
  type AccountUsage,
  type GetAccountUsage,
  REPORT_REFUSALS_MAX,
  REPORT_ROWS_MAX,
  Refusal,
  type UsageEvent,
  UsageTimeseries,
} from '@keymeter/contract'
import { sql } from 'kysely'
import { getCycle } from '../billing/cycle.ts'
import { readClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { selectKeys, toKey } from '../keys/key.ts'
import type { Scope } from '../scope.ts'
import { listUsageEvents } from '../usage/events/page.ts'
import { usageTimeseries } from '../usage/timeseries.ts'

/** A page of usage events can be empty, because it examines a limited number of events. So read several pages, but not all. */
const REFUSAL_PAGES_MAX = 20

/**
 * Returns where the credits of an account went in one billing cycle. It is made of the same reads as the pages of the customer, so
 * its numbers are theirs.
 *
 * @throws AppError `account_not_found`.
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`.
 */
export async function getAccountUsage(scope: Scope, { cycleStart }: GetAccountUsage): Promise<AccountUsage> {
  const cycle = await getCycle(scope, cycleStart)
  if (cycle === null) throw new AppError('account_not_found', { field: 'accountId' })
  const start = cycle.start.toISOString()
  const [account, keys, operations, refusals, holds] = [
    await readBalance(scope, cycle.start),
    await usageBy(scope, start, 'key'),
    await usageBy(scope, start, 'operation'),
    await lastRefusals(scope, start, cycle.end.toISOString()),
    await openHolds(scope, cycle.start),
  ]
  const details = await keyDetails(
    scope,
    cycle.start,
    keys.rows.flatMap(({ keyId }) => keyId ?? []),
  )
  return {
    accountId: scope.userId,
    ...account,
    billingCycle: { start, end: cycle.end.toISOString() },
    keys: keys.rows.map(({ keyId, keyName, keyPrefix, credits, charges }) => {
      const { status = null, creditsHeld = 0 } = details.get(keyId ?? '') ?? {}
      return { keyId: keyId ?? '', name: keyName, keyPrefix, status, credits, charges, creditsHeld }
    }),
    restOfKeys: keys.rest,
    operations: operations.rows.map(({ operation, credits, charges }) => ({ operation: operation ?? '', credits, charges })),
    restOfOperations: operations.rest,
    refusals,
    ...holds,
  }
}

type Balance = Pick<
  AccountUsage,
  | 'email'
  | 'isCurrent'
  | 'previousCycleStart'
  | 'plan'
  | 'creditsCarried'
  | 'creditsGranted'
  | 'creditsToppedUp'
  | 'creditsUsed'
  | 'creditsHeld'
  | 'creditsRemaining'
  | 'suspendedAt'
>

async function readBalance({ db, userId }: Scope, cycleStart: Date): Promise<Balance> {
  const { rows } = await sql<
    Omit<Balance, 'creditsRemaining' | 'previousCycleStart' | 'suspendedAt'> & {
      previousCycleStart: Date | null
      suspendedAt: Date | null
    }
  >`
    select * from (
      select (select email from auth.users where id = ${userId}) as email,
             (select suspended_at from billing_accounts where user_id = ${userId}) as "suspendedAt",
             lag(cycle_start) over (order by cycle_start) as "previousCycleStart", cycle_start, is_current as "isCurrent", plan,
             credits_carried as "creditsCarried", credits_granted as "creditsGranted", credits_topped_up as "creditsToppedUp",
             credits_used as "creditsUsed", credits_held as "creditsHeld"
        from keymeter.account_cycles(${userId}, keymeter.now())) as cycles
     where cycle_start = ${cycleStart}`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('a cycle disappeared within one snapshot')
  const { email, isCurrent, previousCycleStart, plan, suspendedAt, ...credits } = row
  const { creditsCarried, creditsGranted, creditsToppedUp, creditsUsed, creditsHeld } = credits
  return {
    email,
    isCurrent,
    previousCycleStart: previousCycleStart?.toISOString() ?? null,
    plan,
    creditsCarried,
    creditsGranted,
    creditsToppedUp,
    creditsUsed,
    creditsHeld,
    creditsRemaining: Math.max(0, creditsCarried + creditsGranted + creditsToppedUp - creditsUsed - creditsHeld),
    suspendedAt: suspendedAt?.toISOString() ?? null,
  }
}

/** Returns the largest keys or operations of the cycle, and the sum of the others. */
async function usageBy(scope: Scope, cycleStart: string, by: 'key' | 'operation') {
  const { series, rest } = await usageTimeseries(scope, UsageTimeseries.parse({ cycleStart, by }))
  const sums = series.map((one) => ({ ...one, credits: total(one.credits), charges: total(one.charges) }))
  const others = sums.slice(REPORT_ROWS_MAX)
  const count = others.length + (rest?.count ?? 0)
  const restCredits = total([...others.map(({ credits }) => credits), ...(rest?.credits ?? [])])
  const restCharges = total([...others.map(({ charges }) => charges), ...(rest?.charges ?? [])])
  return {
    rows: sums.slice(0, REPORT_ROWS_MAX),
    rest: count === 0 ? null : { count, credits: restCredits, charges: restCharges },
  }
}

async function keyDetails(scope: Scope, cycleStart: Date, ids: string[]) {
  if (ids.length === 0) return new Map()
  const keys = await selectKeys(scope, await readClock(scope))
    .where('keys.id', 'in', ids)
    .execute()
  const held = await scope.db
    .selectFrom('usage_by_cycle')
    .select(['api_key_id', 'credits_held'])
    .where('user_id', '=', scope.userId)
    .where('api_key_id', 'in', ids)
    .where('cycle_start', '=', cycleStart)
    .execute()
  const heldBy = new Map(held.map((row) => [row.api_key_id, row.credits_held]))
  return new Map(keys.map(toKey).map(({ id, status }) => [id, { status, creditsHeld: heldBy.get(id) ?? 0 }]))
}

async function lastRefusals(scope: Scope, from: string, to: string): Promise<UsageEvent[]> {
  const refusals: UsageEvent[] = []
  let cursor: string | null | undefined
  for (let pages = 0; pages < REFUSAL_PAGES_MAX && cursor !== null && refusals.length < REPORT_REFUSALS_MAX; pages++) {
    const limit = REPORT_REFUSALS_MAX - refusals.length
    const page = await listUsageEvents(scope, { verdicts: [...Refusal.options], from, to, cursor, limit })
    refusals.push(...page.data)
    cursor = page.nextCursor
  }
  return refusals
}

/** Reads all open holds of the account, at most 10,000 (`credit_holds_open_idx`), and returns the largest ones of the cycle. */
async function openHolds(scope: Scope, cycleStart: Date): Promise<Pick<AccountUsage, 'holds' | 'restOfHolds'>> {
  const { rows } = await sql<{
    keyId: string
    operation: string
    credits: number
    createdAt: Date
    expiresAt: Date
    count: number
    sum: number
  }>`
    select api_key_id as "keyId", operation, credits, created_at as "createdAt", expires_at as "expiresAt",
           count(*) over () as count, (sum(credits) over ())::bigint as sum
      from credit_holds
     where user_id = ${scope.userId} and outcome is null and expires_at > ${await readClock(scope)} and cycle_start = ${cycleStart}
     order by credits desc, sequence desc limit ${REPORT_ROWS_MAX}`.execute(scope.db)
  const holds = rows.map(({ count: _, sum: __, createdAt, expiresAt, ...hold }) => ({
    ...hold,
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
  }))
  const count = (rows[0]?.count ?? 0) - holds.length
  const credits = (rows[0]?.sum ?? 0) - total(holds.map((hold) => hold.credits))
  return { holds, restOfHolds: count === 0 ? null : { count, credits } }
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}
