import type { BillingAccount } from '@keymeter/contract'
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
  sequence: number
}

/**
 * The account at the present time of the database: a cycle or a hold that has ended since the last write counts as ended.
 * Null until the account exists.
 */
export async function getAccount(scope: Scope): Promise<BillingAccount | null> {
  return (await getAccountAndSequence(scope))?.account ?? null
}

/** The same, with the sequence of the account's last usage event. One statement reads both, so they are from one commit. */
export async function getAccountAndSequence({
  db,
  userId,
}: Scope): Promise<{ account: BillingAccount; sequence: number } | null> {
  const { rows } = await sql<Row>`
    select cycles.plan, case when cycles.cycle_start = accounts.billing_cycle_start then accounts.next_plan end as "nextPlan",
           cycles.cycle_start as "cycleStart", cycles.cycle_end as "cycleEnd", credits_carried as carried,
           credits_granted as granted, cycles.credits_topped_up as "toppedUp", cycles.credits_used as used,
           cycles.credits_held as held, accounts.suspended_at as "suspendedAt",
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
    topUps,
    creditsUsed: row.used,
    creditsHeld: row.held,
    // Verdicts have the same bound: the largest whole number that JSON can hold exactly.
    creditsRemaining: Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, row.granted + topUps - row.used - row.held)),
    suspendedAt: row.suspendedAt?.toISOString() ?? null,
    billingCycle: { start: row.cycleStart.toISOString(), end: row.cycleEnd.toISOString() },
  }
  return { account, sequence: row.sequence }
}
