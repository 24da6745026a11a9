import { KEYS_PAGE_MAX, Operation } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { trpc } from '../app/trpc.ts'
import { TextField } from '../ui/field.tsx'
import { Select } from '../ui/select.tsx'
import { VERDICT_OPTIONS } from './event-verdicts.ts'
import type { UsageSearch } from './usage-search.ts'

const TYPING_DELAY_MS = 300
const OPERATION_LENGTH_MAX = 64

/** Which events are listed: kept in the address, so that it survives a reload and the way back. */
export function EventFilters() {
  const { keyId, verdict } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  const keys = useQuery(trpc.keys.list.queryOptions({ status: 'all', sort: 'name', limit: KEYS_PAGE_MAX })).data?.data ?? []
  const keyOptions = [
    { value: '', text: 'All' },
    ...keys.map(({ id, name, keyPrefix }) => ({ value: id, text: `${name} (${keyPrefix}…)` })),
  ]
  // One that the first page of the keys does not hold, or a verdict that is not known here.
  if (keyId !== undefined && keys.every(({ id }) => id !== keyId)) keyOptions.push({ value: keyId, text: 'One key' })
  const verdictOptions =
    verdict === undefined || VERDICT_OPTIONS.some(({ value }) => value === verdict)
      ? VERDICT_OPTIONS
      : [...VERDICT_OPTIONS, { value: verdict, text: verdict }]
  return (
    <search aria-label="Events" className="grid items-start gap-3 sm:grid-cols-3">
      <Select
        label="Events of key"
        options={keyOptions}
        value={keyId ?? ''}
        onValueChange={(chosen) =>
          navigate({ search: (now: UsageSearch) => ({ ...now, keyId: chosen || undefined }), resetScroll: false })
        }
      />
      <OperationField />
      <Select
        label="Verdict"
        options={verdictOptions}
        value={verdict ?? ''}
        onValueChange={(chosen) =>
          navigate({ search: (now: UsageSearch) => ({ ...now, verdict: chosen || undefined }), resetScroll: false })
        }
      />
    </search>
  )
}

function OperationField() {
  const { operation = '' } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  /** What is typed and not yet in the address, which decides otherwise: on the way back, say. */
  const [typed, setTyped] = useState<string | null>(null)
  const fault = typed ? Operation.safeParse(typed).error?.issues[0]?.message : undefined
  useEffect(() => {
    if (typed === null || fault !== undefined) return
    const timer = setTimeout(async () => {
      await navigate({
        search: (now: UsageSearch) => ({ ...now, operation: typed || undefined }),
        replace: true,
        resetScroll: false,
      })
      setTyped((current) => (current === typed ? null : current))
    }, TYPING_DELAY_MS)
    return () => clearTimeout(timer)
  }, [typed, fault, navigate])
  return (
    <TextField
      label="Operation"
      type="search"
      autoComplete="off"
      autoCapitalize="none"
      spellCheck={false}
      placeholder="All"
      maxLength={OPERATION_LENGTH_MAX}
      value={typed ?? operation}
      error={fault}
      onChange={(event) => setTyped(event.target.value.trim())}
    />
  )
}
