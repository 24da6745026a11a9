import { Timestamp } from '@keymeter/contract'

/** The search parameters of the billing page. `cycle` is the start of the shown cycle. It is absent for the current cycle. */
export interface BillingSearch {
  cycle?: string | undefined
}

/** Ignores invalid parameters, because a URL can contain anything. */
export function parseBillingSearch(raw: Record<string, unknown>): BillingSearch {
  return { cycle: Timestamp.safeParse(raw['cycle']).data }
}
