import type { KeyWithUsage } from '@keymeter/contract'

export type KeyDialog = 'edit' | 'rotate' | 'endGrace' | 'replaceLost' | 'disable' | 'revoke'

export interface KeyDialogProps {
  apiKey: KeyWithUsage
  isOpen: boolean
  onClose: () => void
}

/** The id of the button that opens the menu of a key. A revoked key has no menu. */
export function keyActionsId(keyId: string): string {
  return `actions-${keyId}`
}
