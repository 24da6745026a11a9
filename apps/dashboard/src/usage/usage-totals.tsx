import type { UsageTimeseries } from '@keymeter/contract'
import { formatCredits } from '../ui/format.ts'
import type { ChartSeries } from './usage-chart.tsx'

interface UsageTotalsProps {
  /** One series for each key or operation, and perhaps one for all others. */
  series: (ChartSeries & { charges: number[] })[]
  by: UsageTimeseries['by']
}

/** Shows the total usage of each series in the whole range. */
export function UsageTotals({ series, by }: UsageTotalsProps) {
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table className="w-full text-left text-sm">
        <thead className="border-line border-b text-ink-soft">
          <tr>
            <th scope="col" className="px-4 py-3 font-medium">
              {by === 'key' ? 'Key' : 'Operation'}
            </th>
            <th scope="col" className="px-4 py-3 text-right font-medium">
              Charges
            </th>
            <th scope="col" className="px-4 py-3 text-right font-medium">
              Credits
            </th>
          </tr>
        </thead>
        <tbody>
          {series.map(({ id, name, charges, credits }) => (
            <tr key={id} className="border-line not-last:border-b">
              <td className="wrap-anywhere w-full px-4 py-3 font-medium">{name}</td>
              <td className="figures px-4 py-3 text-right text-ink-soft">{formatCredits(total(charges))}</td>
              <td className="figures px-4 py-3 text-right font-medium">{formatCredits(total(credits))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, value) => sum + value, 0)
}
