import { Timestamp } from '@keymeter/contract'

/** The search parameters of the billing page. `cycle` is the start of the shown cycle, left out for the current one. */
export interface BillingSearch {
  cycle?: string | undefined
}

/** Drops invalid parameters, because anybody can write anything into a URL. */
export function parseBillingSearch(raw: Record<string, unknown>): BillingSearch {
  return { cycle: Timestamp.safeParse(raw['cycle']).data }
}
