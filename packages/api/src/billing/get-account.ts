import { type BillingAccount, FreeCreditsRefusal } from '@keymeter/contract'
import { sql } from 'kysely'
import type { Scope } from '../scope.ts'

interface Row {
  plan: string
  nextPlan: string | null
  cycleStart: Date
  cycleEnd: Date
  carried: number
  granted: number
  toppedUp: number
  used: number
  held: number
  suspendedAt: Date | null
  closedAt: Date | null
  refusal: string | null
  sequence: number
}

/**
 * Returns the account at the current time of the database's clock. If a cycle or a hold has ended since the last write, the
 * returned balance already takes this into account. Returns null if the account does not exist yet.
 */
export async function getAccount(scope: Scope): Promise<BillingAccount | null> {
  return (await getAccountAndSequence(scope))?.account ?? null
}

/**
 * Returns the account and the sequence of its last usage event. One statement reads both, so they come from the same commit.
 */
export async function getAccountAndSequence({
  db,
  userId,
}: Scope): Promise<{ account: BillingAccount; sequence: number } | null> {
  const { rows } = await sql<Row>`
    select cycles.plan, case when cycles.cycle_start = accounts.billing_cycle_start then accounts.next_plan end as "nextPlan",
           cycles.cycle_start as "cycleStart", cycles.cycle_end as "cycleEnd", credits_carried as carried,
           credits_granted as granted, cycles.credits_topped_up as "toppedUp", cycles.credits_used as used,
           cycles.credits_held as held, accounts.suspended_at as "suspendedAt", accounts.closed_at as "closedAt",
           case when cycles.plan = 'free' and credits_granted = 0 then accounts.free_credits_refusal end as refusal,
           accounts.last_event_sequence as sequence
      from keymeter.account_cycles(${userId}, keymeter.now()) as cycles
     cross join billing_accounts as accounts
     where is_current and accounts.user_id = ${userId}`.execute(db)
  const [row] = rows
  if (row === undefined) return null
  const topUps = row.carried + row.toppedUp
  const account = {
    plan: row.plan,
    nextPlan: row.nextPlan,
    creditsPerCycle: row.granted,
    freeCreditsRefusal: FreeCreditsRefusal.nullable().parse(row.refusal),
    topUps,
    creditsUsed: row.used,
    creditsHeld: row.held,
    // Cap the number at 2^53 - 1, the largest whole number that JSON represents exactly. Verdicts cap `remaining` at the same
    // number.
    creditsRemaining: Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, row.granted + topUps - row.used - row.held)),
    suspendedAt: row.suspendedAt?.toISOString() ?? null,
    closedAt: row.closedAt?.toISOString() ?? null,
    billingCycle: { start: row.cycleStart.toISOString(), end: row.cycleEnd.toISOString() },
  }
  return { account, sequence: row.sequence }
}
