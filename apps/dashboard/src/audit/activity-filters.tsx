import { AuditAction } from '@keymeter/contract'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { KeyPicker } from '../keys/key-picker.tsx'
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
  'key.secret_repeated': 'Call repeated',
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
