import { KEY_NAME_LENGTH_MAX, KeyFilter, KeySort } from '@keymeter/contract'
import { withoutSecrets } from './without-secrets.ts'

/** What the address says of the list of keys. Whatever is as usual is left out. */
export interface KeysSearch {
  status?: KeyFilter | undefined
  search?: string | undefined
  sort?: KeySort | undefined
}

export const STATUS_DEFAULT = 'live' satisfies KeyFilter
export const SORT_DEFAULT = 'newest' satisfies KeySort

/** Anything can stand in an address: what makes no sense is dropped, and a secret is cut there too. */
export function parseKeysSearch(raw: Record<string, unknown>): KeysSearch {
  const status = KeyFilter.safeParse(raw['status']).data
  const sort = KeySort.safeParse(raw['sort']).data
  // The router reads `?search=42` as a number.
  const search = withoutSecrets(String(raw['search'] ?? '')).slice(0, KEY_NAME_LENGTH_MAX)
  return {
    status: status === STATUS_DEFAULT ? undefined : status,
    search: search.trim() === '' ? undefined : search,
    sort: sort === SORT_DEFAULT ? undefined : sort,
  }
}
