import { Operation, UsageAction } from '@keymeter/contract'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { KeyPicker } from '../keys/key-picker.tsx'
import { TextField } from '../ui/field.tsx'
import { Select } from '../ui/select.tsx'
import { useDelayed } from '../ui/use-delayed.ts'
import { ACTION_TEXTS } from './event-actions.ts'
import { VERDICT_OPTIONS } from './event-verdicts.ts'
import type { UsageSearch } from './usage-search.ts'

const OPERATION_LENGTH_MAX = 64

const ALL = { value: '', text: 'All' } as const
const ACTION_OPTIONS = [ALL, ...UsageAction.options.map((value) => ({ value, text: ACTION_TEXTS[value] }))]
const WHEN_OPTIONS = [
  { value: '', text: 'Same period as the chart' },
  { value: 'any', text: 'Any time' },
] as const

/** The filters are kept in the URL, so that they survive a reload and the Back button. */
export function EventFilters() {
  const { keyId, action, verdict, when } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  const choose = (chosen: UsageSearch) =>
    navigate({ search: (now: UsageSearch) => ({ ...now, ...chosen }), resetScroll: false })
  return (
    <search aria-label="Events" className="grid grid-cols-2 items-start gap-3 sm:grid-cols-6">
      <div className="col-span-2 min-w-0">
        <KeyPicker label="Key" keyId={keyId} onChange={(chosen) => choose({ keyId: chosen })} />
      </div>
      <div className="col-span-2">
        <OperationField />
      </div>
      <Select
        className="sm:col-span-2"
        label="Action"
        options={ACTION_OPTIONS}
        value={action ?? ''}
        onValueChange={(chosen) => choose({ action: chosen || undefined })}
      />
      <Select
        className="sm:col-span-3"
        label="Verdict"
        options={VERDICT_OPTIONS}
        value={VERDICT_OPTIONS.find(({ value }) => value === verdict)?.value ?? ''}
        onValueChange={(chosen) => choose({ verdict: chosen || undefined })}
      />
      <Select
        className="col-span-2 sm:col-span-3"
        label="When"
        options={WHEN_OPTIONS}
        value={when ?? ''}
        onValueChange={(chosen) => choose({ when: chosen || undefined })}
      />
    </search>
  )
}

function OperationField() {
  const { operation = '' } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  /** The text that the user has typed and that is not in the URL yet. If it is null, the field shows the text from the URL. */
  const [typed, setTyped] = useState<string | null>(null)
  const fault = typed ? Operation.safeParse(typed).error?.issues[0]?.message : undefined
  useDelayed(typed, async (text) => {
    if (text === null || fault !== undefined) return
    await navigate({
      search: (now: UsageSearch) => ({ ...now, operation: text || undefined }),
      replace: true,
      resetScroll: false,
    })
    setTyped((current) => (current === text ? null : current))
  })
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
