import type { LedgerEntry } from '@keymeter/contract'
import type { ReactNode } from 'react'
import { formatCredits, formatDayUtc } from '../ui/format.ts'
import { UserText } from '../ui/user-text.tsx'

export function describeLedgerEntry({ kind, credits, count, plan, note, topUp }: LedgerEntry): ReactNode {
  switch (kind) {
    case 'carried_over':
      return 'Top-up credits carried over'
    case 'grant':
      return 'Granted for the cycle'
    case 'plan_change':
      if (count !== null) return counted(count, 'plan change')
      // There are two cases with 0 credits. Either the new plan has fewer credits and applies from the next cycle on, or both
      // plans have the same number of credits.
      return `Changed to plan ${plan}${credits === 0 ? ', no additional credits in this cycle' : ''}`
    case 'top_up':
      if (count !== null) return counted(count, 'top-up')
      return <>Top-up{afterColon(note)}</>
    case 'take_back': {
      if (count !== null) return `${counted(count, 'top-up')} taken back`
      return (
        <>
          Top-up{topUp !== null && <> of {formatDayUtc(topUp.at)}</>}
          {topUp?.note != null && (
            <>
              {' '}
              (<UserText>{topUp.note}</UserText>)
            </>
          )}{' '}
          taken back{afterColon(note)}
        </>
      )
    }
    case 'refund_top_up':
      return `${counted(count, 'refund')} of an earlier cycle, as top-up credits`
    case 'refund':
      return counted(count, 'refund')
    case 'charges':
      return counted(count, 'charge')
    case 'held':
      return 'Held until settled or released'
    case 'lapsed':
      return 'Lapsed: granted but not used'
  }
}

function counted(count: number | null, one: string): string {
  return `${formatCredits(count ?? 0)} ${one}${count === 1 ? '' : 's'}`
}

function afterColon(note: string | null): ReactNode {
  return (
    note !== null && (
      <>
        : <UserText>{note}</UserText>
      </>
    )
  )
}
