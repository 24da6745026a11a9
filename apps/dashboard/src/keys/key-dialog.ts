import type { KeyWithUsage } from '@keymeter/contract'

/** What is asked about a key before it is done. */
export type KeyDialog = 'edit' | 'rotate' | 'endGrace' | 'revoke'

/** What each of those dialogs is given. */
export interface KeyDialogProps {
  apiKey: KeyWithUsage
  isOpen: boolean
  onClose: () => void
}
