import type { LedgerOutput } from '@keymeter/contract'
import { formatCredits, formatDayUtc } from '../ui/format.ts'
import { describeLedgerEntry } from './describe-ledger-entry.tsx'

/**
 * Shows the ledger like a bank statement: the oldest entry is first, each line contains the balance after it, and the last line
 * contains what is left.
 */
export function LedgerTable({ entries, balance, isCurrent }: Pick<LedgerOutput, 'entries' | 'balance' | 'isCurrent'>) {
  return (
    <section
      aria-label="Lines of the ledger"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: large numbers do not fit on a phone, and the keyboard must be able to scroll to them
      tabIndex={0}
      className="overflow-x-auto rounded-2xl border border-line bg-surface"
    >
      <table aria-labelledby="ledger" className="w-full text-left text-sm">
        <thead className="border-line border-b text-ink-soft">
          <tr>
            <th scope="col" className={`${CELL} font-medium sm:whitespace-nowrap`}>
              Date (UTC)
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              What happened
            </th>
            <th scope="col" className={`${CELL} text-right font-medium`}>
              Credits
            </th>
            <th scope="col" className={`${CELL} text-right font-medium`}>
              Balance
            </th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={`${entry.kind} ${entry.at} ${entry.balance}`} className="border-line border-b">
              <td className={`${CELL} whitespace-nowrap text-ink-soft`}>
                <time dateTime={entry.at}>{formatDayUtc(entry.at)}</time>
              </td>
              <td className={`${CELL} wrap-anywhere w-full min-w-24 font-medium`}>{describeLedgerEntry(entry)}</td>
              <td className={`${CELL} figures whitespace-nowrap text-right`}>{formatMovement(entry.credits)}</td>
              <td className={`${CELL} figures whitespace-nowrap text-right text-ink-soft`}>{formatCredits(entry.balance)}</td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={3} className={`${CELL} font-semibold`}>
              {isCurrent ? 'Left now' : 'Left at the end of the cycle'}
            </th>
            <td className={`${CELL} figures text-right font-semibold`}>{formatCredits(balance)}</td>
          </tr>
        </tfoot>
      </table>
    </section>
  )
}

const CELL = 'px-2 py-3 align-top first:pl-4 last:pr-4 sm:px-4'

/** Returns e.g. `+1,000` or `−25`. */
function formatMovement(credits: number): string {
  return `${credits > 0 ? '+' : ''}${formatCredits(credits)}`
}
