import type { UsageAction } from '@keymeter/contract'

export const ACTION_TEXTS: Record<UsageAction, string> = {
  charge: 'Charge',
  hold: 'Hold',
  settle: 'Settle',
  release: 'Release',
  refund: 'Refund',
}
