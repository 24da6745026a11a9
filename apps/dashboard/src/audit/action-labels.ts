import type { AuditAction } from '@keymeter/contract'

/** The names of the actions, in the filter and in the entries. An entry can add details, e.g. the credits of a top-up. */
export const ACTION_LABELS: Record<AuditAction, string> = {
  'key.created': 'Created',
  'key.updated': 'Edited',
  'key.disabled': 'Disabled',
  'key.enabled': 'Enabled',
  'key.rotated': 'Rotated',
  'key.grace_ended': 'Previous secrets ended early',
  'key.secret_saved': 'Secret saved',
  'key.secret_replaced': 'Lost secret replaced',
  'key.secret_repeated': 'Another secret after a repeated call',
  'key.revoked': 'Revoked',
  'account.topped_up': 'Topped up',
  'account.top_up_taken_back': 'Top-up taken back',
  'account.plan_changed': 'Plan changed',
  'account.suspended': 'Account suspended',
  'account.resumed': 'Account resumed',
  'account.free_credits_granted': 'Free credits granted',
}
