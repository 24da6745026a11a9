import { countCredits, formatCredits } from '../ui/format.ts'
import type { BalanceByDay } from './balance-by-day.ts'

const HEIGHT = 100

/**
 * Draws the balance as a step line with one step for each day of the cycle. The ledger's table contains the same figures. The
 * balance of an earlier day can be negative (`LedgerEntry`). Then the chart also shows the line of 0 credits.
 */
export function BalanceChart({ days, balances, from, to }: BalanceByDay & { from: string; to: string }) {
  const highest = Math.max(0, ...balances)
  const lowest = Math.min(0, ...balances)
  // If every balance is 0, the line is at the bottom.
  const top = highest === lowest ? 1 : highest
  const heightOf = (balance: number) => ((top - balance) / (top - lowest)) * HEIGHT
  const steps = balances.map((balance, day) => `V${heightOf(balance)}H${day + 1}`).join('')
  const zero = heightOf(0)
  const [atFirst = 0] = balances
  const atLast = balances.at(-1) ?? 0
  const label = `Balance by day: ${countCredits(atFirst)} at the start, ${formatCredits(highest)} at most, ${formatCredits(atLast)} at the end`
  return (
    <div className="grid gap-2 rounded-2xl border border-line bg-surface p-4 text-xs text-ink-soft sm:p-6">
      <span className="figures">Highest end-of-day balance: {countCredits(highest)}</span>
      <svg
        viewBox={`0 0 ${days} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
        className="h-32 w-full border-line border-y"
      >
        <path d={`M0,${zero}${steps}V${zero}Z`} className="fill-accent-soft" />
        {lowest < 0 && (
          <path d={`M0,${zero}H${days}`} vectorEffect="non-scaling-stroke" strokeWidth="1" className="stroke-line-strong" />
        )}
        <path
          d={`M0${steps.replace(/^V/, ',')}`}
          vectorEffect="non-scaling-stroke"
          strokeWidth="2"
          fill="none"
          className="stroke-series-1"
        />
      </svg>
      {lowest < 0 && <span className="figures">Lowest end-of-day balance: {countCredits(lowest)}</span>}
      <div className="flex justify-between">
        <span>{from}</span>
        <span>{to}</span>
      </div>
    </div>
  )
}
