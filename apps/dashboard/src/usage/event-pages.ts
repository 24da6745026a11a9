import type { UsageEvent, UsageEventFilters } from '@keymeter/contract'
import { type InfiniteData, infiniteQueryOptions } from '@tanstack/react-query'
import { api, REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'

const PAGE_EVENTS = 50
/** Newer events come on top of the first page up to so many; a page may not grow for ever. */
const FIRST_PAGE_EVENTS_MAX = 500
/** Calls for one page, where few events match. */
const CALLS_MAX = 40

interface EventPage {
  data: UsageEvent[]
  nextCursor: string | null
  /** True where newer events do not go on top: the reader asks for these, and begins anew. */
  hasNewer?: boolean
}

/** The events that match, newest first, and up to date however many pages are loaded. */
export function eventPages(filters: UsageEventFilters) {
  const queryKey = [...trpc.usage.pathKey(), 'events', filters]
  return infiniteQueryOptions({
    queryKey,
    queryFn: async ({ client, pageParam, signal }) => {
      const ask = async (cursor: string | null): Promise<EventPage> =>
        await api.usage.events.query({ ...filters, cursor, limit: PAGE_EVENTS }, { signal })
      const list = client.getQueryData<InfiniteData<EventPage>>(queryKey)
      const loaded = list?.pages[list.pageParams.indexOf(pageParam)]
      if (list === undefined || loaded === undefined) return await search(ask, pageParam)
      // Events are only ever added: what is loaded is not asked for again.
      return pageParam === null ? withNewer(await ask(null), loaded, list.pages.length === 1) : loaded
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
    refetchInterval: REFRESH_INTERVAL_MS,
  })
}

/** A call may find few events, or none, before the end: then the next one goes on from there. */
async function search(ask: (cursor: string | null) => Promise<EventPage>, from: string | null): Promise<EventPage> {
  const data: UsageEvent[] = []
  let cursor = from
  for (let calls = 0; calls < CALLS_MAX; calls++) {
    const page = await ask(cursor)
    data.push(...page.data)
    cursor = page.nextCursor
    if (cursor === null || data.length >= PAGE_EVENTS) break
  }
  return { data, nextCursor: cursor }
}

/** The first page with what is new since it was loaded. Where there may be others in between, it stays as it is. */
function withNewer(newest: EventPage, loaded: EventPage, isAlone: boolean): EventPage {
  if (isAlone && (newest.nextCursor === null || newest.data.length === PAGE_EVENTS)) return newest
  const top = loaded.data[0]?.sequence ?? 0
  const newer = newest.data.filter(({ sequence }) => sequence > top)
  if (newer.length === 0) return loaded
  const isJoined = newer.length < newest.data.length && loaded.data.length < FIRST_PAGE_EVENTS_MAX
  return isJoined ? { ...loaded, data: [...newer, ...loaded.data] } : { ...loaded, hasNewer: true }
}
