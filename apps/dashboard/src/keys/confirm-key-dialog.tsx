import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { queryClient } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { keyActionsId } from './key-dialog.ts'

interface ConfirmKeyDialogProps {
  keyId: string
  title: string
  isOpen: boolean
  onClose: () => void
  actionLabel: string
  /** Must return no secret, because the result of this call is cached. */
  call: () => Promise<unknown>
  /** Called after the call has succeeded and the page shows the change, e.g. to show a message. */
  onDone: () => void
  children: ReactNode
}

/** Asks the user to confirm an action on a key. The page shows the change only after the server has made it. */
export function ConfirmKeyDialog({
  keyId,
  title,
  isOpen,
  onClose,
  actionLabel,
  call,
  onDone,
  children,
}: ConfirmKeyDialogProps) {
  const mutation = useMutation({
    mutationFn: call,
    onSuccess: async () => {
      await queryClient.invalidateQueries()
      onDone()
      onClose()
    },
    // Another session may have changed the key, so refresh the list also if the server refused the action.
    onError: async () => await queryClient.invalidateQueries(),
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
      // The action can remove the element that opened the dialog, and also the menu of the key.
      finalFocus={() =>
        mutation.isSuccess ? (document.getElementById(keyActionsId(keyId)) ?? document.getElementById('keys')) : true
      }
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
