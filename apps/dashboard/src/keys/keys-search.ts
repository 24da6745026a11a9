import { cutSecrets, KEY_NAME_LENGTH_MAX, KeyFilter, KeySort } from '@keymeter/contract'

/** The search parameters of the list of keys. Default values are left out. */
export interface KeysSearch {
  status?: KeyFilter | undefined
  search?: string | undefined
  sort?: KeySort | undefined
}

export const STATUS_DEFAULT = 'live' satisfies KeyFilter
export const SORT_DEFAULT = 'newest' satisfies KeySort

/** Ignores invalid parameters, because a URL can contain anything. Cuts secrets to their key prefix. */
export function parseKeysSearch(raw: Record<string, unknown>): KeysSearch {
  const status = KeyFilter.safeParse(raw['status']).data
  const sort = KeySort.safeParse(raw['sort']).data
  // Convert the parameter to a text, because the router parses `?search=42` as a number.
  const search = cutSecrets(String(raw['search'] ?? '')).slice(0, KEY_NAME_LENGTH_MAX)
  return {
    status: status === STATUS_DEFAULT ? undefined : status,
    search: search.trim() === '' ? undefined : search,
    sort: sort === SORT_DEFAULT ? undefined : sort,
  }
}
