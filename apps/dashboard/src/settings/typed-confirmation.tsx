import { isConfirmed } from '@keymeter/contract'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { UserText } from '../ui/user-text.tsx'

interface TypedConfirmationProps {
  title: string
  /** The text that the user must type. */
  wanted: string
  actionLabel: string
  isOpen: boolean
  onClose: () => void
  call: (confirmation: string) => Promise<unknown>
  children: ReactNode
}

/** Asks the user to confirm an action that cannot be undone, by typing a text. A call that failed can be repeated. */
export function TypedConfirmation({ title, wanted, actionLabel, isOpen, onClose, call, children }: TypedConfirmationProps) {
  const formId = useId()
  const [typed, setTyped] = useState('')
  const [error, setError] = useState<string>()
  const mutation = useMutation({
    mutationFn: call,
    onSuccess: onClose,
  })
  const cancel = () => {
    if (mutation.isPending) return
    mutation.reset()
    setTyped('')
    setError(undefined)
    onClose()
  }
  const submit = () => {
    if (mutation.isPending) return
    if (!isConfirmed(typed, wanted)) return setError('This is not the text. Type it as it is shown above.')
    mutation.mutate(typed)
  }
  return (
    <AlertDialog
      title={title}
      isOpen={isOpen}
      onCancel={cancel}
      action={
        <Button type="submit" form={formId} variant="danger" isPending={mutation.isPending}>
          {actionLabel}
        </Button>
      }
    >
      {children}
      <form
        id={formId}
        noValidate
        className="grid gap-2 text-ink"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <p>
          To confirm, type{' '}
          <strong>
            <UserText>{wanted}</UserText>
          </strong>
        </p>
        <TextField
          label="Confirmation"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          value={typed}
          error={error}
          onChange={(event) => {
            setTyped(event.target.value)
            setError(undefined)
          }}
        />
      </form>
      {mutation.isError && <ErrorNotice error={describeCallError(mutation.error)} />}
    </AlertDialog>
  )
}
