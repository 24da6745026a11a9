import { z } from 'zod'

export const UsageRange = z.enum(['cycle', 'month', 'day'])
export type UsageRange = z.infer<typeof UsageRange>
const UsageGroup = z.enum(['key', 'operation'])

/** What the address says of the usage that is shown. */
export interface UsageSearch {
  range?: UsageRange | undefined
  by?: z.infer<typeof UsageGroup> | undefined
}

/** Anything can stand in an address: what makes no sense is dropped, and so is what is the default. */
export function parseUsageSearch(raw: Record<string, unknown>): UsageSearch {
  const range = UsageRange.safeParse(raw['range']).data
  const by = UsageGroup.safeParse(raw['by']).data
  return { range: range === 'cycle' ? undefined : range, by: by === 'key' ? undefined : by }
}
