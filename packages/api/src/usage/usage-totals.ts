import { type RawBuilder, sql } from 'kysely'
import type { Scope } from '../scope.ts'

/** The half-open interval `[start, end)`. */
export interface Range {
  start: Date
  end: Date
}

/** Selects usage of an account. */
export interface UsageSelection {
  range: Range
  /** True if the range is a billing cycle. Then only usage of this cycle is selected. */
  isCycle: boolean
  /** The column that names the series. Null means that all usage is one series. */
  seriesBy: 'api_key_id' | 'operation' | null
  /** Null means that usage of all keys is selected. */
  keyIds: readonly string[] | null
  /** Null means that usage of all operations is selected. */
  operations: readonly string[] | null
}

/**
 * Returns the SQL expression for the rows of `keymeter.usage_totals`: the usage of each series on each UTC day, as running
 * totals. If the range is not a cycle, the rows of its first and last day also contain usage outside of the range.
 */
export function usageTotals(
  { userId }: Pick<Scope, 'userId'>,
  { range, isCycle, seriesBy, keyIds, operations }: UsageSelection,
): RawBuilder<unknown> {
  return sql`keymeter.usage_totals(${userId}, ${range.start}, ${range.end}, ${isCycle ? range.start : null}, ${seriesBy},
                                   ${keyIds}::uuid[], ${operations}::text[])`
}
