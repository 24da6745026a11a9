import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Plus } from 'lucide-react'
import { useState } from 'react'
import { useMay } from '../account/current-account.ts'
import { useProvisioning } from '../account/provisioning.ts'
import { AccountCard } from '../billing/account-card.tsx'
import { collectPage } from '../call/collect-page.ts'
import { PagedList } from '../call/paged-list.tsx'
import { api, REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { CreateKeyDialog } from './create-key-dialog.tsx'
import { KeyFilters } from './key-filters.tsx'
import { KeyTable, KeyTableSkeleton } from './key-table.tsx'

const PAGE_KEYS = 50

export function KeysPage() {
  const [isCreating, setIsCreating] = useState(false)
  const mayCreate = useMay('keys.create')
  return (
    <>
      <title>API keys · Keymeter</title>
      <AccountCard />
      <section aria-labelledby="keys" className="grid gap-4">
        <div className="flex flex-wrap items-center justify-between gap-3">
          <h1 id="keys" tabIndex={-1} className="text-xl font-semibold outline-none">
            API keys
          </h1>
          {mayCreate && (
            <Button onClick={() => setIsCreating(true)}>
              <Plus className="size-4" aria-hidden="true" />
              Create key
            </Button>
          )}
        </div>
        <KeyFilters />
        <Keys />
        <CreateKeyDialog isOpen={isCreating} onClose={() => setIsCreating(false)} />
      </section>
    </>
  )
}

function Keys() {
  const { status, sort, search = '' } = useSearch({ from: '/signed-in/' })
  const navigate = useNavigate({ from: '/' })
  const isProvisioning = useProvisioning().state === 'running'
  const input = { status, sort, search: search.trim(), limit: PAGE_KEYS }
  const list = useInfiniteQuery({
    queryKey: [...trpc.keys.pathKey(), 'list', input],
    queryFn: async ({ pageParam, signal }) =>
      await collectPage(
        async (cursor: string | null) => await api.keys.list.query({ ...input, cursor }, { signal }),
        pageParam,
        PAGE_KEYS,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
    refetchInterval: REFRESH_INTERVAL_MS,
  })
  const mayCreate = useMay('keys.create')
  const isFiltered = status !== undefined || search !== ''
  return (
    <PagedList
      query={list}
      isLoading={isProvisioning}
      skeleton={<KeyTableSkeleton />}
      empty={
        list.hasNextPage
          ? 'No key matches so far. Load more to search the other keys.'
          : isFiltered
            ? 'No keys match.'
            : mayCreate
              ? 'All your keys are revoked. Create one to call the API.'
              : 'This account has no live keys.'
      }
      onClearFilters={isFiltered ? () => navigate({ search: { sort } }) : null}
    >
      {(keys) => <KeyTable keys={keys} />}
    </PagedList>
  )
}
