import type { RouterOutputs } from '@keymeter/api'

type Answers = RouterOutputs['metering'][keyof RouterOutputs['metering']]
/** Every verdict that is recorded as a usage event: those that name the key. A new one does not compile without a text. */
type RecordedVerdict = Extract<Answers, { keyId: string }>['verdict']

const VERDICTS = {
  charged: { text: 'Charged', group: 'charged' },
  // A settled hold is charged too.
  settled: { text: 'Settled', group: 'charged' },
  held: { text: 'Held', group: null },
  released: { text: 'Released', group: null },
  refunded: { text: 'Refunded', group: null },
  revoked: { text: 'Key revoked', group: 'refused' },
  disabled: { text: 'Key disabled', group: 'refused' },
  expired: { text: 'Key expired', group: 'refused' },
  account_suspended: { text: 'Account suspended', group: 'refused' },
  insufficient_credits: { text: 'Out of credits', group: 'refused' },
  key_limit_exceeded: { text: 'Over the key’s limit', group: 'refused' },
  hold_expired: { text: 'Hold expired', group: 'refused' },
  hold_ended: { text: 'Hold ended', group: 'refused' },
  exceeds_hold: { text: 'More than is held', group: 'refused' },
  exceeds_charge: { text: 'More than was charged', group: 'refused' },
} as const satisfies Record<RecordedVerdict, { text: string; group: VerdictGroup | null }>

type VerdictGroup = 'charged' | 'refused'
const GROUPS: Record<VerdictGroup, string> = { charged: 'Charged', refused: 'Refused' }

/** As a person reads it. An old page may get a verdict from a newer server: it shows the verdict's own name. */
export function describeVerdict(verdict: string): string {
  return isKnown(verdict) ? VERDICTS[verdict].text : verdict.replaceAll('_', ' ')
}

export function isRefusal(verdict: string): boolean {
  return isKnown(verdict) && VERDICTS[verdict].group === 'refused'
}

export const VERDICT_OPTIONS = [
  { value: '', text: 'All' },
  ...(Object.keys(GROUPS) as VerdictGroup[]).map((value) => ({ value, text: GROUPS[value] })),
  ...inGroup('refused').map((value) => ({ value, text: `Refused: ${VERDICTS[value].text.toLowerCase()}` })),
]

/** The verdicts to ask the server for when the reader chose a group or one verdict. Undefined for anything else: all. */
export function verdictsOf(chosen: string | undefined): RecordedVerdict[] | undefined {
  if (chosen === 'charged' || chosen === 'refused') return inGroup(chosen)
  return chosen !== undefined && isKnown(chosen) ? [chosen] : undefined
}

function inGroup(group: VerdictGroup): RecordedVerdict[] {
  return Object.keys(VERDICTS)
    .filter(isKnown)
    .filter((verdict) => VERDICTS[verdict].group === group)
}

function isKnown(verdict: string): verdict is RecordedVerdict {
  return Object.hasOwn(VERDICTS, verdict)
}
