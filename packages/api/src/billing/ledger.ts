import type { GetLedger, LedgerEntry, LedgerKind, LedgerOutput } from '@keymeter/contract'
import { sql } from 'kysely'
import { AppError } from '../errors.ts'
import type { Scope } from '../scope.ts'

type Ledger = Omit<LedgerOutput, 'requestId'>
type Line = Omit<LedgerEntry, 'at' | 'balance'> & { at: Date }

/**
 * Within a day, lines that add credits come before lines that take credits. Otherwise the balance after a line could be
 * negative.
 */
const ORDER: Record<LedgerKind, number> = {
  carried_over: 0,
  grant: 1,
  plan_change: 2,
  top_up: 2,
  refund_top_up: 3,
  refund: 4,
  charges: 5,
  held: 6,
  lapsed: 7,
}
const DAY_MS = 86_400_000

/**
 * Lists everything that changed the balance in one cycle, oldest first, with the balance after each line. The roll-ups give
 * one line for all charges of a UTC day. The ledger entries (`ledger_entries_cycle_idx`) give one line for all refunds of a
 * UTC day. The credits of a settle count on the day of its hold.
 *
 * @throws AppError `bad_request` if no cycle of the account starts at `cycleStart`.
 */
export async function getLedger(scope: Scope, { cycleStart }: GetLedger): Promise<Ledger> {
  const cycles = await readCycles(scope)
  const index =
    cycleStart === undefined ? cycles.length - 1 : cycles.findIndex(({ start }) => start.getTime() === Date.parse(cycleStart))
  const cycle = cycles[index]
  if (cycle === undefined) {
    if (cycleStart === undefined)
      return { billingCycle: null, isCurrent: true, entries: [], balance: 0, previousCycleStart: null }
    const message = 'No billing cycle of this account starts at this time. Use the previousCycleStart of another cycle.'
    throw new AppError('bad_request', { field: 'cycleStart', message })
  }
  const [days, written] = [await chargesByDay(scope, cycle), await writtenEntries(scope, cycle)]
  const addedInCycle = written.filter(({ kind }) => kind === 'plan_change').reduce((sum, { credits }) => sum + credits, 0)
  // The database does not store the plan at the start of a cycle. If the plan changed during the cycle, the earlier plan is
  // unknown.
  const isChanged = written.some(({ kind, plan }) => kind === 'plan_change' && plan === cycle.plan)
  const plain = { count: null, plan: null, note: null }
  const lines: Line[] = [
    { ...plain, kind: 'carried_over', at: cycle.start, credits: cycle.carried },
    { ...plain, kind: 'grant', at: cycle.start, credits: cycle.granted - addedInCycle, plan: isChanged ? null : cycle.plan },
    ...written,
    ...days,
    { ...plain, kind: 'held', at: cycle.isCurrent ? cycle.now : lastMoment(cycle), credits: -cycle.held },
  ]
  const lapsed = Math.max(0, cycle.granted - cycle.used - cycle.held)
  if (!cycle.isCurrent) lines.push({ ...plain, kind: 'lapsed', at: lastMoment(cycle), credits: -lapsed })
  lines.sort((a, b) => dayOf(a) - dayOf(b) || ORDER[a.kind] - ORDER[b.kind] || a.at.getTime() - b.at.getTime())

  let balance = 0
  const entries: LedgerEntry[] = []
  for (const { at, ...line } of lines) {
    if (line.credits === 0 && (line.kind === 'carried_over' || line.kind === 'held' || line.kind === 'lapsed')) continue
    balance += line.credits
    entries.push({ ...line, at: at.toISOString(), balance: toSafe(balance) })
  }
  return {
    billingCycle: { start: cycle.start.toISOString(), end: cycle.end.toISOString() },
    isCurrent: cycle.isCurrent,
    entries,
    balance: toSafe(Math.max(0, balance)),
    previousCycleStart: cycles[index - 1]?.start.toISOString() ?? null,
  }
}

interface LedgerCycle {
  start: Date
  end: Date
  now: Date
  isCurrent: boolean
  plan: string
  carried: number
  granted: number
  used: number
  held: number
}

async function readCycles({ db, userId }: Scope): Promise<LedgerCycle[]> {
  const { rows } = await sql<LedgerCycle>`
    select cycle_start as start, cycle_end as end, clock.now, is_current as "isCurrent", plan, credits_carried as carried,
           credits_granted as granted, credits_used as used, credits_held as held
      from (select keymeter.account_time(keymeter.now(), last_event_at, billing_cycle_start) as now from billing_accounts where user_id = ${userId}) as clock
     cross join lateral keymeter.account_cycles(${userId}, clock.now)
     order by cycle_start`.execute(db)
  return rows
}

async function chargesByDay({ db, userId }: Scope, { start, end }: LedgerCycle): Promise<Line[]> {
  const { rows } = await sql<{ at: Date; credits: number; count: number }>`
    select day::timestamp at time zone 'UTC' as at, -sum(credits[cardinality(credits)] + refunded)::bigint as credits,
           sum(charges[cardinality(charges)])::bigint as count
      from keymeter.usage_totals(${userId}, ${start}, ${end}, ${start}, null, null, null)
     group by day`.execute(db)
  return rows.map((row) => ({ ...row, kind: 'charges', plan: null, note: null }))
}

/** Returns one line for each plan change, for each top-up, and for the refunds of each day. */
async function writtenEntries({ db, userId }: Scope, { start }: LedgerCycle): Promise<Line[]> {
  const { rows } = await sql<Line>`
    select kind, created_at as at, credits, null::bigint as count, plan, note
      from ledger_entries where user_id = ${userId} and cycle_start = ${start} and kind in ('plan_change', 'top_up')
     union all
    select kind, date_trunc('day', created_at, 'UTC'), sum(credits)::bigint, count(*), null, null
      from ledger_entries where user_id = ${userId} and cycle_start = ${start} and kind in ('refund', 'refund_top_up')
     group by 1, 2`.execute(db)
  return rows
}

/** Caps a number at 2^53 - 1, because JSON does not represent larger whole numbers exactly. */
function toSafe(credits: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, credits)
}

function lastMoment({ end }: LedgerCycle): Date {
  return new Date(end.getTime() - 1)
}

function dayOf({ at }: Line): number {
  return Math.floor(at.getTime() / DAY_MS)
}
