import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { queryClient } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { announce } from '../ui/toasts.tsx'

interface ConfirmKeyDialogProps {
  title: string
  isOpen: boolean
  onClose: () => void
  actionLabel: string
  /** The message that is shown after the call has succeeded. */
  doneText: string
  /** Must return no secret, because the result of this call is cached. */
  call: () => Promise<unknown>
  children: ReactNode
}

/** Asks the user to confirm an action on a key. The page shows the change only after the server has made it. */
export function ConfirmKeyDialog({ title, isOpen, onClose, actionLabel, doneText, call, children }: ConfirmKeyDialogProps) {
  const mutation = useMutation({
    mutationFn: call,
    onSuccess: async () => {
      await queryClient.invalidateQueries()
      announce(doneText)
      onClose()
    },
  })
  const cancel = () => {
    if (mutation.isPending) return
    mutation.reset()
    onClose()
  }
  return (
    <AlertDialog
      title={title}
      isOpen={isOpen}
      onCancel={cancel}
      finalFocus={() => (mutation.isSuccess ? document.getElementById('keys') : true)}
      action={
        <Button variant="danger" isPending={mutation.isPending} onClick={() => mutation.mutate()}>
          {actionLabel}
        </Button>
      }
    >
      {children}
      {mutation.isError && <ErrorNotice error={describeCallError(mutation.error)} />}
    </AlertDialog>
  )
}
