import { AuditAction } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { allKeys } from '../keys/all-keys.ts'
import { Select } from '../ui/select.tsx'
import type { ActivitySearch } from './activity-search.ts'

const ACTIONS: Record<AuditAction, string> = {
  'key.created': 'Created',
  'key.updated': 'Edited',
  'key.disabled': 'Disabled',
  'key.enabled': 'Enabled',
  'key.rotated': 'Rotated',
  'key.grace_ended': 'Old secret ended early',
  'key.secret_saved': 'Secret saved',
  'key.secret_replaced': 'Lost secret replaced',
  'key.revoked': 'Revoked',
  'account.topped_up': 'Topped up',
  'account.top_up_taken_back': 'Top-up taken back',
  'account.plan_changed': 'Plan changed',
  'account.suspended': 'Account suspended',
  'account.resumed': 'Account resumed',
  'account.free_credits_granted': 'Free credits granted',
}

const ALL = { value: '', text: 'All' } as const

const ACTION_OPTIONS = [ALL, ...AuditAction.options.map((value) => ({ value, text: ACTIONS[value] }))]

/** The filters are kept in the URL, so that they survive a reload and the Back button. */
export function ActivityFilters() {
  const { action, keyId } = useSearch({ from: '/signed-in/activity' })
  const navigate = useNavigate({ from: '/activity' })
  const keys = useQuery(allKeys).data?.data ?? []
  const keyOptions = [ALL, ...keys.map(({ id, name, keyPrefix }) => ({ value: id, text: `${name} (${keyPrefix}…)` }))]
  // Only the first page of keys is loaded. If the chosen key is on a later page, add an option for the chosen key.
  if (keyId !== undefined && keys.every(({ id }) => id !== keyId)) keyOptions.push({ value: keyId, text: 'One key' })
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
      <Select
        label="Key"
        options={keyOptions}
        value={keyId ?? ''}
        onValueChange={(chosen) =>
          navigate({ search: (current: ActivitySearch) => ({ ...current, keyId: chosen || undefined }) })
        }
      />
    </search>
  )
}
