import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import { type InfiniteData, infiniteQueryOptions } from '@tanstack/react-query'
import { collectPage } from '../call/collect-page.ts'
import { api, REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'

const PAGE_EVENTS = 50
/** New events are added to the first page until it has this many events, so that the page does not grow without limit. */
const FIRST_PAGE_EVENTS_MAX = 500

interface EventPage {
  data: UsageEvent[]
  nextCursor: string | null
  /** True if there are newer events that could not be added to this page. The user can then load the list again. */
  hasNewer?: boolean
}

/** Loads the matching events, newest first. A refetch adds new events and keeps the loaded pages. */
export function eventPages(filters: UsageEventFilters) {
  const queryKey = [...trpc.usage.pathKey(), 'events', filters]
  return infiniteQueryOptions({
    queryKey,
    queryFn: async ({ client, pageParam, signal }): Promise<EventPage> => {
      const ask = async (cursor: string | null): Promise<EventPage> =>
        await api.usage.events.query({ ...filters, cursor, limit: PAGE_EVENTS }, { signal })
      const list = client.getQueryData<InfiniteData<EventPage>>(queryKey)
      const loaded = list?.pages[list.pageParams.indexOf(pageParam)]
      if (list === undefined || loaded === undefined) return await collectPage(ask, pageParam, PAGE_EVENTS)
      // Events never change, so loaded events are not requested again.
      return pageParam === null ? withNewer(await ask(null), loaded, list.pages.length === 1) : loaded
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
    refetchInterval: REFRESH_INTERVAL_MS,
  })
}

/**
 * Adds new events to the first page. Only sets `hasNewer` if the page is full, or if there may be other events between the new
 * events and the loaded events.
 */
function withNewer(newest: EventPage, loaded: EventPage, isAlone: boolean): EventPage {
  if (isAlone && (newest.nextCursor === null || newest.data.length === PAGE_EVENTS)) return newest
  const top = loaded.data[0]?.sequence ?? 0
  const newer = newest.data.filter(({ sequence }) => sequence > top)
  if (newer.length === 0) return loaded
  const isJoined = newer.length < newest.data.length && loaded.data.length < FIRST_PAGE_EVENTS_MAX
  return isJoined ? { ...loaded, data: [...newer, ...loaded.data] } : { ...loaded, hasNewer: true }
}
