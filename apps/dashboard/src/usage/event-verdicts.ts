import { type RefundVerdict, Refusal, type SettleVerdict } from '@keymeter/contract'

const TEXTS: Record<string, string> = {
  insufficient_credits: 'Out of credits',
  key_limit_exceeded: 'Over the key’s limit',
  revoked: 'Key revoked',
  disabled: 'Key disabled',
  expired: 'Key expired',
  exceeds_hold: 'More than is held',
  exceeds_charge: 'More than was charged',
}

/** As a person reads it; one that is not known here by its own name. */
export function describeVerdict(verdict: string): string {
  const words = verdict.replaceAll('_', ' ')
  return TEXTS[verdict] ?? `${words.slice(0, 1).toUpperCase()}${words.slice(1)}`
}

/** Of whatever action. */
const REFUSALS: string[] = [
  ...Refusal.options,
  ...(['hold_expired', 'hold_ended', 'exceeds_hold', 'exceeds_charge'] satisfies (SettleVerdict | RefundVerdict)['verdict'][]),
]

export function isRefusal(verdict: string): boolean {
  return REFUSALS.includes(verdict)
}

/** A settled hold is charged too. */
const GROUPS: Record<string, string[]> = { charged: ['charged', 'settled'], refused: REFUSALS }

export const VERDICT_OPTIONS = [
  { value: '', text: 'All' },
  ...Object.keys(GROUPS).map((value) => ({ value, text: describeVerdict(value) })),
  ...REFUSALS.map((value) => ({ value, text: `Refused: ${describeVerdict(value).toLowerCase()}` })),
]

/** What to ask the server for. */
export function verdictsOf(chosen: string | undefined): string[] | undefined {
  return chosen === undefined ? undefined : (GROUPS[chosen] ?? [chosen])
}
