import type { Member } from '@keymeter/contract'

/** The dialogs of a member. */
export type MemberDialog = 'role' | 'remove' | 'transfer' | 'leave'

export interface MemberDialogProps {
  member: Member
  isOpen: boolean
  onClose: () => void
}

/** Gets the focus after an action that can remove the button that opened the dialog. */
export const membersHeading = () => document.getElementById('members')
