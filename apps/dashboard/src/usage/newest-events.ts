import type { InfiniteData, QueryFilters } from '@tanstack/react-query'

/** What lists of usage events are kept under. */
export const EVENTS_KEY = 'usage events'

/** Whoever reads further down is not disturbed, and a long list not asked for again and again. */
export function isNewest(list: InfiniteData<unknown> | undefined): boolean {
  return list?.pages.length === 1
}

/** The lists that show what happens as it happens. */
export const newestEvents: QueryFilters = {
  queryKey: [EVENTS_KEY],
  predicate: ({ state }) => isNewest(state.data as InfiniteData<unknown> | undefined),
}
