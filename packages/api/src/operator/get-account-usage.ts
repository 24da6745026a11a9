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
import { addressOfAccount } from './address-of-account.ts'

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
  const now = await readClock(scope)
  const start = cycle.start.toISOString()
  const keys = await usageBy(scope, start, 'key')
  const operations = await usageBy(scope, start, 'operation')
  return {
    accountId: scope.userId,
    ...(await readBalance(scope, cycle.start, now)),
    billingCycle: { start, end: cycle.end.toISOString() },
    keys: await describeKeys(scope, cycle.start, now, keys.rows),
    restOfKeys: keys.rest,
    operations: operations.rows.map(({ name, credits, charges }) => ({ operation: name, credits, charges })),
    restOfOperations: operations.rest,
    refusals: await lastRefusals(scope, start, cycle.end.toISOString()),
    ...(await largestHolds(scope, cycle.start, now)),
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

async function readBalance({ db, userId }: Scope, cycleStart: Date, now: Date): Promise<Balance> {
  const { rows } = await sql<
    Omit<Balance, 'creditsRemaining' | 'previousCycleStart' | 'suspendedAt'> & {
      previousCycleStart: Date | null
      suspendedAt: Date | null
    }
  >`
    select * from (
      select ${addressOfAccount(sql`${userId}::uuid`)} as email,
             (select suspended_at from billing_accounts where user_id = ${userId}) as "suspendedAt",
             lag(cycle_start) over (order by cycle_start) as "previousCycleStart", cycle_start, is_current as "isCurrent", plan,
             credits_carried as "creditsCarried", credits_granted as "creditsGranted", credits_topped_up as "creditsToppedUp",
             credits_used as "creditsUsed", credits_held as "creditsHeld"
        from keymeter.account_cycles(${userId}, ${now})) as cycles
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

interface Used {
  /** The id of a key, or an operation. */
  name: string
  keyName: string | null
  keyPrefix: string | null
  credits: number
  charges: number
}

/** Returns the largest keys or operations of the cycle, and the sum of the others. */
async function usageBy(scope: Scope, cycleStart: string, by: 'key' | 'operation') {
  const { series, rest } = await usageTimeseries(scope, UsageTimeseries.parse({ cycleStart, by }))
  const sums = series.map(({ keyId, keyName, keyPrefix, operation, credits, charges }): Used => {
    const name = by === 'key' ? keyId : operation
    if (name === null) throw new Error(`a series of usage by ${by} has no ${by}`)
    return { name, keyName, keyPrefix, credits: total(credits), charges: total(charges) }
  })
  const others = sums.slice(REPORT_ROWS_MAX)
  const count = others.length + (rest?.count ?? 0)
  const restCredits = total([...others.map(({ credits }) => credits), ...(rest?.credits ?? [])])
  const restCharges = total([...others.map(({ charges }) => charges), ...(rest?.charges ?? [])])
  return {
    rows: sums.slice(0, REPORT_ROWS_MAX),
    rest: count === 0 ? null : { count, credits: restCredits, charges: restCharges },
  }
}

/** Adds the status and the held credits to the usage of keys. */
async function describeKeys(scope: Scope, cycleStart: Date, now: Date, used: Used[]): Promise<AccountUsage['keys']> {
  if (used.length === 0) return []
  const ids = used.map(({ name }) => name)
  const rows = await selectKeys(scope, now).where('keys.id', 'in', ids).execute()
  const keys = new Map(rows.map((row) => [row.id, toKey(row)]))
  const sums = await openHolds(scope, cycleStart, now)
    .where('api_key_id', 'in', ids)
    .groupBy('api_key_id')
    .select(['api_key_id', sql<number>`sum(credits)::bigint`.as('credits')])
    .execute()
  const held = new Map(sums.map((row) => [row.api_key_id, row.credits]))
  return used.map(({ name, keyName, keyPrefix, credits, charges }) => ({
    keyId: name,
    name: keyName,
    keyPrefix,
    status: keys.get(name)?.status ?? null,
    credits,
    charges,
    creditsHeld: held.get(name) ?? 0,
  }))
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

/**
 * Selects the open holds that were made in the cycle, at most 10,000 (`credit_holds_open_idx`). The totals of the account and of
 * keys still contain holds that have expired since the last charge, so they are not used here.
 */
function openHolds({ db, userId }: Scope, cycleStart: Date, now: Date) {
  return db
    .selectFrom('credit_holds')
    .where('user_id', '=', userId)
    .where('outcome', 'is', null)
    .where('expires_at', '>', now)
    .where('cycle_start', '=', cycleStart)
}

async function largestHolds(scope: Scope, cycleStart: Date, now: Date): Promise<Pick<AccountUsage, 'holds' | 'restOfHolds'>> {
  const rows = await openHolds(scope, cycleStart, now)
    .select(['api_key_id as keyId', 'operation', 'credits', 'created_at as createdAt', 'expires_at as expiresAt'])
    .select((eb) =>
      eb
        .selectFrom('api_keys as keys')
        .whereRef('keys.user_id', '=', 'credit_holds.user_id')
        .whereRef('keys.id', '=', 'credit_holds.api_key_id')
        .select('keys.name')
        .as('keyName'),
    )
    .select(sql<number>`count(*) over ()`.as('count'))
    .select(sql<number>`(sum(credits) over ())::bigint`.as('sum'))
    .orderBy('credits', 'desc')
    .orderBy('sequence', 'desc')
    .limit(REPORT_ROWS_MAX)
    .execute()
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
