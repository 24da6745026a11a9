import { KeyId } from '@keymeter/contract'
import { z } from 'zod'
import { createStored } from '../ui/stored.ts'

export const UsageRange = z.enum(['cycle', 'month', 'day'])
export type UsageRange = z.infer<typeof UsageRange>
const UsageGroup = z.enum(['key', 'operation'])
/**
 * The format of operations, actions and verdicts. The schemas of the contract are not used here, because they would enlarge the
 * script that every page loads.
 */
const Label = /^[a-z0-9._:-]{1,64}$/

export const RANGES = [
  { value: 'cycle', text: 'This billing cycle' },
  { value: 'month', text: 'Last 30 days' },
  { value: 'day', text: 'Last 24 hours' },
] as const satisfies { value: UsageRange; text: string }[]

/** The range of the usage page if its URL contains none. Each person chooses it on the settings page. */
export const defaultRange = createStored<UsageRange>('keymeter-usage-range', UsageRange, 'cycle')

/** The search parameters of the usage page. Default values are left out, except of `range`, because people choose its default. */
export interface UsageSearch {
  range?: UsageRange | undefined
  by?: z.infer<typeof UsageGroup> | undefined
  keyId?: string | undefined
  operation?: string | undefined
  action?: string | undefined
  verdict?: string | undefined
  /** `any` means that the events of all times are listed. Without it, only the events of `range` are listed. */
  when?: 'any' | undefined
}

/** Ignores invalid parameters, because a URL can contain anything. Leaves out default values. */
export function parseUsageSearch(raw: Record<string, unknown>): UsageSearch {
  const by = UsageGroup.safeParse(raw['by']).data
  return {
    range: UsageRange.safeParse(raw['range']).data,
    by: by === 'key' ? undefined : by,
    keyId: KeyId.safeParse(raw['keyId']).data,
    operation: label(raw['operation']),
    action: label(raw['action']),
    verdict: label(raw['verdict']),
    when: raw['when'] === 'any' ? 'any' : undefined,
  }
}

/** Converts the parameter to a text, because the router parses `?operation=42` as a number. */
function label(raw: unknown): string | undefined {
  const text = String(raw ?? '')
  return Label.test(text) ? text : undefined
}
