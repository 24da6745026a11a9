import type { EventVerdict, UsageEvent } from '@keymeter/contract'
import { countCredits } from '../ui/format.ts'

const VERDICTS = {
  charged: { text: 'Charged', group: 'charged' },
  // A settle also charges credits.
  settled: { text: 'Settled', group: 'charged' },
  held: { text: 'Held', group: null },
  released: { text: 'Released', group: null },
  refunded: { text: 'Refunded', group: null },
  revoked: { text: 'Key revoked', group: 'refused' },
  disabled: { text: 'Key disabled', group: 'refused' },
  expired: { text: 'Key expired', group: 'refused' },
  account_suspended: { text: 'Account suspended', group: 'refused' },
  insufficient_credits: { text: 'Out of credits', group: 'refused' },
  key_limit_exceeded: { text: 'Over key limit', group: 'refused' },
  hold_expired: { text: 'Hold expired', group: 'refused' },
  hold_ended: { text: 'Hold ended', group: 'refused' },
  exceeds_charge: { text: 'More than was charged', group: 'refused' },
} as const satisfies Record<EventVerdict, { text: string; group: VerdictGroup | null }>

type VerdictGroup = 'charged' | 'refused'
const GROUPS: Record<VerdictGroup, string> = { charged: 'Charged or settled', refused: 'Refused' }

/**
 * Returns the verdict in words. If the server is newer than the open page, the page perhaps does not know a verdict. The
 * function then returns the name of the verdict.
 */
export function describeVerdict(verdict: string): string {
  return isKnown(verdict) ? VERDICTS[verdict].text : verdict.replaceAll('_', ' ')
}

/**
 * Returns what else the user must know about the verdict, e.g. `all 400 credits left were held` or `30 credits uncollected`.
 * Returns null if there is nothing.
 */
export function explainVerdict({
  verdict,
  remaining,
  creditsHeld,
  uncollected,
}: Pick<UsageEvent, 'verdict' | 'remaining' | 'creditsHeld' | 'uncollected'>): string | null {
  if (uncollected > 0) return `${countCredits(uncollected)} uncollected`
  if (creditsHeld === null || creditsHeld === 0) return null
  if (verdict === 'key_limit_exceeded') return `the key held ${countCredits(creditsHeld)}`
  return remaining === 0
    ? `all ${countCredits(creditsHeld)} left ${creditsHeld === 1 ? 'was' : 'were'} held`
    : `${countCredits(creditsHeld)} ${creditsHeld === 1 ? 'was' : 'were'} held`
}

export function isRefusal(verdict: string): boolean {
  return isKnown(verdict) && VERDICTS[verdict].group === 'refused'
}

export const VERDICT_OPTIONS = [
  { value: '', text: 'All' },
  ...(Object.keys(GROUPS) as VerdictGroup[]).map((value) => ({ value, text: GROUPS[value] })),
  ...(['settled', 'held', 'released', 'refunded'] as const).map((value) => ({ value, text: VERDICTS[value].text })),
  ...inGroup('refused').map((value) => ({ value, text: `Refused: ${VERDICTS[value].text.toLowerCase()}` })),
]

/**
 * Returns the verdicts of the group `chosen`, or the verdict `chosen`. For any other text, returns undefined, which means all
 * verdicts.
 */
export function verdictsOf(chosen: string | undefined): EventVerdict[] | undefined {
  if (chosen === 'charged' || chosen === 'refused') return inGroup(chosen)
  return chosen !== undefined && isKnown(chosen) ? [chosen] : undefined
}

function inGroup(group: VerdictGroup): EventVerdict[] {
  return Object.keys(VERDICTS)
    .filter(isKnown)
    .filter((verdict) => VERDICTS[verdict].group === group)
}

function isKnown(verdict: string): verdict is EventVerdict {
  return Object.hasOwn(VERDICTS, verdict)
}
