import type { KeyWithUsage } from '@keymeter/contract'

export type KeyDialog = 'edit' | 'rotate' | 'endGrace' | 'replaceLost' | 'disable' | 'revoke'

export interface KeyDialogProps {
  apiKey: KeyWithUsage
  isOpen: boolean
  onClose: () => void
}
