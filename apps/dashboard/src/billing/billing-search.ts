import { Timestamp } from '@keymeter/contract'

/** What the address says of the ledger: the start of the cycle that is shown, when it is not the current one. */
export interface BillingSearch {
  cycle?: string | undefined
}

/** Anything can stand in an address: what makes no sense is dropped. */
export function parseBillingSearch(raw: Record<string, unknown>): BillingSearch {
  return { cycle: Timestamp.safeParse(raw['cycle']).data }
}
