import type { BillingCycle, LedgerEntry } from '@keymeter/contract'

const DAY_MS = 86_400_000

export interface BalanceByDay {
  /** The number of UTC days that the whole cycle touches. */
  days: number
  /** The balance at the end of each day, up to today. */
  balances: number[]
}

/** The ledger has one entry per day for charges and refunds, so there is no finer balance than by day. */
export function balanceByDay({ start, end }: BillingCycle, entries: LedgerEntry[], now: number): BalanceByDay {
  const first = dayOf(Date.parse(start))
  const last = dayOf(Date.parse(end) - 1)
  // The reader's clock may be slow: the day of an entry has begun.
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
