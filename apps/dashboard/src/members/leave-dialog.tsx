import { useState } from 'react'
import { readAccounts } from '../account/read-accounts.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { announce } from '../ui/toasts.tsx'
import type { MemberDialogProps } from './member-dialog.ts'

export function LeaveDialog({ member, isOpen, onClose }: MemberDialogProps) {
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const leave = async () => {
    if (isPending) return
    setIsPending(true)
    setFault(null)
    try {
      await api.members.leave.mutate()
      await readAccounts()
      announce('You have left the account.')
    } catch (error) {
      setFault(describeCallError(error))
      setIsPending(false)
    }
  }
  return (
    <AlertDialog
      title="Leave this account?"
      isOpen={isOpen}
      onCancel={onClose}
      action={
        <Button variant="danger" isPending={isPending} onClick={leave}>
          Leave
        </Button>
      }
    >
      <p>You lose access with the next call. Somebody must invite you again before you can come back.</p>
      {member.liveKeys > 0 && <p>Your keys keep working until an owner or an admin revokes them.</p>}
      {fault !== null && <ErrorNotice error={fault} />}
    </AlertDialog>
  )
}
