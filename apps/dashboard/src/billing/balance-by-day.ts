import type { BillingCycle, LedgerEntry } from '@keymeter/contract'

const DAY_MS = 86_400_000

export interface BalanceByDay {
  /** The number of UTC days that are at least partly in the cycle. */
  days: number
  /** The balance at the end of each day, from the first day of the cycle up to today. */
  balances: number[]
}

/**
 * Computes the balance at the end of each day. The balance within a day is not known, because the ledger sums charges and
 * refunds by day.
 */
export function balanceByDay({ start, end }: BillingCycle, entries: LedgerEntry[], now: number): BalanceByDay {
  const first = dayOf(Date.parse(start))
  const last = dayOf(Date.parse(end) - 1)
  // The user's clock may be slow. A day with a ledger entry has begun, even if the clock shows an earlier day.
  const reached = Math.min(last, Math.max(dayOf(now), ...entries.map(({ at }) => dayOf(Date.parse(at)))))
  const balances = Array.from(
    { length: reached - first + 1 },
    (_, i) => entries.findLast(({ at }) => dayOf(Date.parse(at)) <= first + i)?.balance ?? 0,
  )
  return { days: last - first + 1, balances }
}

function dayOf(moment: number): number {
  return Math.floor(moment / DAY_MS)
}
