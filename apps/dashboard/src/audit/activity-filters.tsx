import { AuditAction } from '@keymeter/contract'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { KeyPicker } from '../keys/key-picker.tsx'
import { Select } from '../ui/select.tsx'
import { ACTION_LABELS } from './action-labels.ts'
import type { ActivitySearch } from './activity-search.ts'

const ALL = { value: '', text: 'All' } as const

const ACTION_OPTIONS = [ALL, ...AuditAction.options.map((value) => ({ value, text: ACTION_LABELS[value] }))]

/** The filters are kept in the URL, so that they survive a reload and the Back button. */
export function ActivityFilters() {
  const { action, keyId } = useSearch({ from: '/signed-in/activity' })
  const navigate = useNavigate({ from: '/activity' })
  return (
    <search className="grid gap-3 sm:grid-cols-2">
      <Select
        label="Action"
        options={ACTION_OPTIONS}
        value={action ?? ''}
        onValueChange={(chosen) =>
          navigate({ search: (current: ActivitySearch) => ({ ...current, action: chosen || undefined }) })
        }
      />
      <KeyPicker
        label="Key"
        keyId={keyId}
        onChange={(chosen) => navigate({ search: (current: ActivitySearch) => ({ ...current, keyId: chosen }) })}
      />
    </search>
  )
}
