import { cutSecrets, KEY_NAME_LENGTH_MAX, KeyFilter, KeySort } from '@keymeter/contract'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { TextField } from '../ui/field.tsx'
import { Select } from '../ui/select.tsx'
import { useDelayed } from '../ui/use-delayed.ts'
import { type KeysSearch, SORT_DEFAULT, STATUS_DEFAULT } from './keys-search.ts'

const STATUSES: Record<KeyFilter, string> = {
  live: 'Not revoked',
  active: 'Active',
  disabled: 'Disabled',
  expired: 'Expired',
  revoked: 'Revoked',
  all: 'All',
}
const STATUS_OPTIONS = KeyFilter.options.map((value) => ({ value, text: STATUSES[value] }))

const SORTS: Record<KeySort, string> = { newest: 'Newest', oldest: 'Oldest', name: 'Name', lastUsed: 'Last used' }
const SORT_OPTIONS = KeySort.options.map((value) => ({ value, text: SORTS[value] }))

/** The filters and the sort order are kept in the URL, so that they survive a reload and the Back button. */
export function KeyFilters() {
  const { status = STATUS_DEFAULT, sort = SORT_DEFAULT } = useSearch({ from: '/signed-in/' })
  const navigate = useNavigate({ from: '/' })
  return (
    <search className="grid grid-cols-2 gap-3 sm:grid-cols-[minmax(0,1fr)_auto_auto]">
      <SearchField />
      <Select
        label="Status"
        options={STATUS_OPTIONS}
        value={status}
        onValueChange={(chosen) =>
          navigate({
            search: (current: KeysSearch) => ({ ...current, status: chosen === STATUS_DEFAULT ? undefined : chosen }),
          })
        }
      />
      <Select
        label="Sort by"
        options={SORT_OPTIONS}
        value={sort}
        onValueChange={(chosen) =>
          navigate({ search: (current: KeysSearch) => ({ ...current, sort: chosen === SORT_DEFAULT ? undefined : chosen }) })
        }
      />
    </search>
  )
}

function SearchField() {
  const { search = '' } = useSearch({ from: '/signed-in/' })
  const navigate = useNavigate({ from: '/' })
  /** The text that the user has typed and that is not in the URL yet. If it is null, the field shows the text from the URL. */
  const [typed, setTyped] = useState<string | null>(null)
  useDelayed(typed, async (text) => {
    if (text === null) return
    await navigate({
      search: (current: KeysSearch) => ({ ...current, search: text.trim() === '' ? undefined : text }),
      replace: true,
    })
    setTyped((current) => (current === text ? null : current))
  })
  return (
    <div className="col-span-2 sm:col-span-1">
      <TextField
        label="Search"
        type="search"
        dir="auto"
        autoComplete="off"
        spellCheck={false}
        placeholder="Name or key prefix"
        maxLength={KEY_NAME_LENGTH_MAX}
        value={typed ?? search}
        onChange={(event) => setTyped(cutSecrets(event.target.value))}
      />
    </div>
  )
}
