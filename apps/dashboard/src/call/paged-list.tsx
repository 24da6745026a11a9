import type { ReactNode } from 'react'
import { Button } from '../ui/button.tsx'
import { EmptyState } from '../ui/empty-state.tsx'
import { QueryFault } from './query-fault.tsx'

interface PagedListProps<Item> {
  /** The result of `useInfiniteQuery`. */
  query: {
    data: { pages: { data: Item[] }[] } | undefined
    isError: boolean
    error: unknown
    hasNextPage: boolean
    isFetchingNextPage: boolean
    refetch: () => Promise<unknown>
    fetchNextPage: () => Promise<unknown>
  }
  /** True if the list is perhaps empty only because its items have not arrived yet. */
  isLoading?: boolean
  skeleton: ReactNode
  /** The text that explains why the list is empty. */
  empty: string
  /** Null means that there are no filters to clear. */
  onClearFilters: (() => void) | null
  children: (items: Item[]) => ReactNode
}

/** Shows the items of all loaded pages, and a button that loads the next page. */
export function PagedList<Item>({ query, isLoading = false, skeleton, empty, onClearFilters, children }: PagedListProps<Item>) {
  const items = query.data?.pages.flatMap((page) => page.data) ?? []
  return (
    <>
      <QueryFault query={query} />
      {items.length > 0 ? (
        children(items)
      ) : query.data === undefined || isLoading ? (
        query.isError || skeleton
      ) : (
        <EmptyState>
          <p>{empty}</p>
          {onClearFilters !== null && (
            <Button variant="secondary" onClick={onClearFilters}>
              Clear filters
            </Button>
          )}
        </EmptyState>
      )}
      {query.hasNextPage && (
        <Button
          variant="secondary"
          className="justify-self-center"
          isPending={query.isFetchingNextPage}
          onClick={() => query.fetchNextPage()}
        >
          Load more
        </Button>
      )}
    </>
  )
}
