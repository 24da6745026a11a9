import {
  type GetLedger,
  LEDGER_SINGLE_ENTRIES_MAX,
  type LedgerEntry,
  type LedgerKind,
  type LedgerOutput,
} from '@keymeter/contract'
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
  take_back: 6,
  held: 7,
  lapsed: 8,
}
const DAY_MS = 86_400_000
/** A line of these kinds with 0 credits would say nothing. */
const HIDDEN_WITHOUT_CREDITS = new Set<LedgerEntry['kind']>(['carried_over', 'held', 'lapsed', 'take_back'])

/**
 * Lists everything that changed the balance in one cycle, oldest first, with the balance after each line. The roll-ups give
 * one line for all charges of a UTC day. The ledger entries give one line for all refunds of a UTC day, and one line for each
 * top-up, each take-back and each plan change. If there are many of them, the older ones are also summed by day, so the number
 * of lines is limited. The credits of a settle count on the day of its hold.
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
  // unknown. A line that sums several changes has no plan, and each of them can be the change to the plan of the cycle.
  const isChanged = written.some(({ kind, plan }) => kind === 'plan_change' && (plan === cycle.plan || plan === null))
  const plain = { count: null, plan: null, note: null, topUp: null }
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
    if (line.credits === 0 && HIDDEN_WITHOUT_CREDITS.has(line.kind)) continue
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
  return rows.map((row) => ({ ...row, kind: 'charges', plan: null, note: null, topUp: null }))
}

/**
 * Returns one line for each of the newest plan changes, top-ups and take-backs, and one line for all other ledger entries of a
 * kind on a UTC day. The entries of each kind and day are one range of `ledger_entries_cycle_idx`. The index contains their
 * credits, so Postgres sums them without reading the table.
 */
async function writtenEntries({ db, userId }: Scope, { start, end }: LedgerCycle): Promise<Line[]> {
  const ofKind = sql`from ledger_entries as entries
                    where entries.user_id = ${userId} and entries.cycle_start = ${start} and entries.kind = kinds.kind`
  const { rows } = await sql<Omit<Line, 'topUp'> & { topUpAt: Date | null; topUpNote: string | null }>`
    with kinds (kind, single_max) as (
      values ('plan_change', ${LEDGER_SINGLE_ENTRIES_MAX}::int), ('top_up', ${LEDGER_SINGLE_ENTRIES_MAX}::int), ('take_back', ${LEDGER_SINGLE_ENTRIES_MAX}::int),
             ('refund', 0), ('refund_top_up', 0)
    ), single as (
      select kinds.kind, newest.* from kinds cross join lateral (
        select sequence, created_at, credits, plan, note, refers_to ${ofKind} order by created_at desc, sequence desc limit single_max) as newest
    ), summed as (
      select kinds.kind, coalesce(oldest.created_at, 'infinity') as before_at, coalesce(oldest.sequence, 0) as before_sequence
        from kinds
        left join lateral (select created_at, sequence from single where single.kind = kinds.kind order by created_at, sequence limit 1) as oldest on true
       where (select count(*) from single where single.kind = kinds.kind) = single_max
    )
    (select single.kind, single.created_at as at, single.credits, null::bigint as count, single.plan, single.note,
            top_up.created_at as "topUpAt", top_up.note as "topUpNote"
       from single left join ledger_entries as top_up on top_up.user_id = ${userId} and top_up.sequence = single.refers_to
      order by single.created_at, single.sequence)
     union all
    select kinds.kind, day, sums.credits, sums.count, null, null, null, null
      from summed as kinds
     cross join generate_series(date_trunc('day', ${start}::timestamptz, 'UTC'), ${end}, interval '24 hours') as day
     cross join lateral (
       select sum(credits)::bigint as credits, count(*) as count ${ofKind}
          and entries.created_at >= day and entries.created_at < day + interval '24 hours'
          and (entries.created_at, entries.sequence) < (before_at, before_sequence)) as sums
     where sums.count > 0`.execute(db)
  return rows.map(({ topUpAt, topUpNote, ...line }) => ({
    ...line,
    topUp: topUpAt === null ? null : { at: topUpAt.toISOString(), note: topUpNote },
  }))
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
