import { KeyId } from '@keymeter/contract'
import { z } from 'zod'

export const UsageRange = z.enum(['cycle', 'month', 'day'])
export type UsageRange = z.infer<typeof UsageRange>
const UsageGroup = z.enum(['key', 'operation'])
/** The form of operations, actions and verdicts. Not the contract's own: that would be loaded at the start, with all that it knows of usage. */
const Label = /^[a-z0-9._:-]{1,64}$/

/** What the address says of the usage that is shown, and of the events. */
export interface UsageSearch {
  range?: UsageRange | undefined
  by?: z.infer<typeof UsageGroup> | undefined
  keyId?: string | undefined
  operation?: string | undefined
  action?: string | undefined
  verdict?: string | undefined
  /** Events of any time, not only of the range. */
  when?: 'any' | undefined
}

/** Anything can stand in an address: what makes no sense is dropped, and so is what is the default. */
export function parseUsageSearch(raw: Record<string, unknown>): UsageSearch {
  const range = UsageRange.safeParse(raw['range']).data
  const by = UsageGroup.safeParse(raw['by']).data
  return {
    range: range === 'cycle' ? undefined : range,
    by: by === 'key' ? undefined : by,
    keyId: KeyId.safeParse(raw['keyId']).data,
    operation: label(raw['operation']),
    action: label(raw['action']),
    verdict: label(raw['verdict']),
    when: raw['when'] === 'any' ? 'any' : undefined,
  }
}

/** The router reads `?operation=42` as a number. */
function label(raw: unknown): string | undefined {
  const text = String(raw ?? '')
  return Label.test(text) ? text : undefined
}
