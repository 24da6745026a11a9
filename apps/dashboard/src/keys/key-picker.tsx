import { Combobox } from '@base-ui/react/combobox'
import { cutSecrets, KEY_NAME_LENGTH_MAX, type Key } from '@keymeter/contract'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Check, ChevronsUpDown } from 'lucide-react'
import { useState } from 'react'
import { describeCallError } from '../call/call-error.ts'
import { collectPage } from '../call/collect-page.ts'
import { api, trpc } from '../call/trpc.ts'
import { useDelayed } from '../ui/use-delayed.ts'
import { KeyName } from './key-name.tsx'

/** The maximum number of keys in the list. A longer list would be hard to use, so the user types more of the name instead. */
const SHOWN_KEYS_MAX = 50

type ShownKey = Pick<Key, 'id' | 'name' | 'keyPrefix' | 'status'>

/** The item that removes the filter. */
const ALL = { id: '', name: '', keyPrefix: '', status: 'active' } satisfies ShownKey

interface KeyPickerProps {
  label: string
  /** The id of the chosen key. Undefined means all keys. */
  keyId: string | undefined
  onChange: (keyId: string | undefined) => void
}

/**
 * A filter by key. The server searches all keys of the account, including revoked keys, by name and key prefix. The chosen key
 * is shown with its name even if it is not among the found keys.
 */
export function KeyPicker({ label, keyId, onChange }: KeyPickerProps) {
  const [isOpen, setIsOpen] = useState(false)
  const [search, setSearch] = useState('')
  const chosen = useChosenKey(keyId)
  const found = useFoundKeys(search.trim(), isOpen)
  const keys = found.data?.data ?? []
  const items = search.trim() === '' ? [ALL, ...keys] : keys
  return (
    <Combobox.Root
      items={items}
      // The server has filtered the keys.
      filter={null}
      autoHighlight
      value={chosen ?? ALL}
      onValueChange={(key) => onChange(key?.id || undefined)}
      isItemEqualToValue={(item, value) => item.id === value.id}
      itemToStringLabel={({ name }) => name}
      itemToStringValue={({ id }) => id}
      inputValue={search}
      onInputValueChange={(text, { reason }) => {
        // The combobox also clears the text, when it has closed or opens again. Ignore this, because it can come after the user
        // has typed another text. `onOpenChange` clears the text of the closed list.
        if (reason !== 'input-change') return
        // The input stays on the page while the list fades out, and a press of the button opens the list in the next frame only.
        setIsOpen(true)
        // A pasted secret must not get into the URL of the search.
        setSearch(cutSecrets(text).slice(0, KEY_NAME_LENGTH_MAX))
      }}
      open={isOpen}
      onOpenChange={(open) => {
        setIsOpen(open)
        if (!open) setSearch('')
      }}
    >
      <div className="grid min-w-0 gap-1.5">
        <Combobox.Label className="text-sm font-medium">{label}</Combobox.Label>
        <Combobox.Trigger className="flex min-h-10 w-full min-w-0 items-center justify-between gap-2 rounded-lg border border-line-strong bg-surface px-3 text-left text-base sm:text-sm">
          <span className="truncate">
            {keyId === undefined ? 'All' : chosen === undefined ? 'One key' : <KeyName {...chosen} />}
          </span>
          <ChevronsUpDown className="size-4 shrink-0 text-ink-soft" aria-hidden="true" />
        </Combobox.Trigger>
      </div>
      <Combobox.Portal>
        <Combobox.Positioner align="start" sideOffset={4} collisionPadding={8} className="z-10 outline-none">
          <Combobox.Popup
            aria-label={label}
            aria-busy={found.isFetching}
            className="grid max-h-[min(24rem,var(--available-height))] w-(--anchor-width) min-w-64 max-w-(--available-width) grid-rows-[auto_auto_minmax(0,1fr)_auto] overflow-hidden rounded-xl border border-line bg-surface shadow-xl outline-none motion-safe:transition data-ending-style:opacity-0 data-starting-style:opacity-0"
          >
            <Combobox.Input
              aria-label="Search keys"
              placeholder="Name or key prefix"
              dir="auto"
              spellCheck={false}
              className="m-2 min-h-10 rounded-lg border border-line-strong bg-surface px-3 text-base sm:text-sm"
            />
            <Combobox.Status className="px-4 text-sm text-ink-soft not-empty:pb-2">
              {found.isError
                ? describeCallError(found.error).message
                : found.data === undefined
                  ? 'Searching…'
                  : keys.length === 0 &&
                    (found.data.nextCursor === null ? 'No key matches.' : 'No key matches so far. Type more.')}
            </Combobox.Status>
            <Combobox.List className="overflow-y-auto overscroll-contain p-1 outline-none empty:p-0">
              {(key: ShownKey) => (
                <Combobox.Item
                  key={key.id}
                  value={key}
                  className="grid min-h-10 cursor-pointer grid-cols-[1rem_minmax(0,1fr)] items-center gap-2 rounded-md px-2 py-1.5 text-sm outline-none data-highlighted:bg-raised"
                >
                  <Combobox.ItemIndicator className="col-start-1">
                    <Check className="size-4" aria-hidden="true" />
                  </Combobox.ItemIndicator>
                  <span className="col-start-2">{key === ALL ? 'All' : <Option apiKey={key} />}</span>
                </Combobox.Item>
              )}
            </Combobox.List>
            {found.data?.nextCursor != null && keys.length > 0 && (
              <p className="border-line border-t px-4 py-2 text-ink-soft text-xs">Type to find the other keys.</p>
            )}
          </Combobox.Popup>
        </Combobox.Positioner>
      </Combobox.Portal>
    </Combobox.Root>
  )
}

function Option({ apiKey }: { apiKey: ShownKey }) {
  return (
    <>
      <span className="block truncate font-medium">
        <KeyName name={apiKey.name} />
      </span>{' '}
      <span className="block truncate text-ink-soft text-xs">
        {apiKey.keyPrefix}…{apiKey.status !== 'active' && ` · ${apiKey.status}`}
      </span>
    </>
  )
}

function useChosenKey(keyId: string | undefined): ShownKey | undefined {
  const query = useQuery({ ...trpc.keys.get.queryOptions({ id: keyId ?? '' }), enabled: keyId !== undefined })
  return keyId === undefined ? undefined : query.data
}

/** Finds keys after the user has stopped typing. The keys found earlier stay visible while the next keys load. */
function useFoundKeys(search: string, isOpen: boolean) {
  const [typed, setTyped] = useState(search)
  useDelayed(search, setTyped)
  const input = { status: 'all', sort: 'name', search: typed, limit: SHOWN_KEYS_MAX } as const
  return useQuery({
    queryKey: [...trpc.keys.pathKey(), 'find', input],
    queryFn: async ({ signal }) =>
      await collectPage(
        async (cursor: string | null) => await api.keys.list.query({ ...input, cursor }, { signal }),
        null,
        SHOWN_KEYS_MAX,
      ),
    placeholderData: keepPreviousData,
    enabled: isOpen,
  })
}
