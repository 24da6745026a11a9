import type { BillingCycle, LedgerEntry } from '@keymeter/contract'

const DAY_MS = 86_400_000

export interface BalanceByDay {
  /** How many days of UTC the whole cycle touches. */
  days: number
  /** At the end of each, as far as the cycle has gone. */
  balances: number[]
}

/** The ledger sums up by day: what the balance was within one, nobody knows. */
export function balanceByDay({ start, end }: BillingCycle, entries: LedgerEntry[], now: number): BalanceByDay {
  const first = dayOf(Date.parse(start))
  const last = dayOf(Date.parse(end) - 1)
  // The newest entry's day has come, whatever the reader's clock says.
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
