import type { KeyWithUsage } from '@keymeter/contract'

export type KeyDialog = 'edit' | 'rotate' | 'endGrace' | 'revoke'

export interface KeyDialogProps {
  apiKey: KeyWithUsage
  isOpen: boolean
  onClose: () => void
}
