import { Refusal } from '@keymeter/contract'

const TEXTS: Record<string, string> = {
  charged: 'Charged',
  insufficient_credits: 'Out of credits',
  key_limit_exceeded: 'Over the key’s limit',
  revoked: 'Key revoked',
  disabled: 'Key disabled',
  expired: 'Key expired',
  account_suspended: 'Account suspended',
}

/** As a person reads it; one that is not known here by its own name. */
export function describeVerdict(verdict: string): string {
  const words = verdict.replaceAll('_', ' ')
  return TEXTS[verdict] ?? `${words.slice(0, 1).toUpperCase()}${words.slice(1)}`
}

const REFUSED = 'refused'

export const VERDICT_OPTIONS = [
  { value: '', text: 'All' },
  { value: 'charged', text: 'Charged' },
  { value: REFUSED, text: 'Refused' },
  ...Refusal.options.map((value) => ({ value, text: `Refused: ${describeVerdict(value).toLowerCase()}` })),
]

/** What to ask the server for. */
export function verdictsOf(chosen: string | undefined): string[] | undefined {
  if (chosen === undefined) return undefined
  return chosen === REFUSED ? [...Refusal.options] : [chosen]
}
