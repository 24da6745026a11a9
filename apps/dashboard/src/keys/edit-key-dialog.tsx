import { KEY_NAME_LENGTH_MAX } from '@keymeter/contract'
import { useWatch } from 'react-hook-form'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api, queryClient } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { announce } from '../ui/toasts.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyForm, toKeyForm, withCompleteExpiry } from './key-form.ts'
import { KeyLimitFields } from './key-limit-fields.tsx'
import { KeyName } from './key-name.tsx'

export function EditKeyDialog({ apiKey, isOpen, onClose }: KeyDialogProps) {
  return (
    <Dialog title="Edit key" isOpen={isOpen} onCloseRequest={onClose}>
      <EditKeyForm apiKey={apiKey} onClose={onClose} />
    </Dialog>
  )
}

function EditKeyForm({ apiKey, onClose }: Omit<KeyDialogProps, 'isOpen'>) {
  const { register, control, submit, setError, errors, formState, fault } = useCallForm(KeyForm, toKeyForm(apiKey))
  const [chosenExpiry, chosenLimit] = useWatch({ control, name: ['expiresAt', 'creditLimit'] })
  const { dirtyFields, isSubmitting } = formState
  const save = submit(async ({ name, expiresAt, creditLimit }) => {
    await api.keys.update.mutate({
      id: apiKey.id,
      // Send only changed fields. Another session may have changed the other fields, and an unchanged expiry may be in the
      // past.
      ...(dirtyFields.name && { name }),
      ...(dirtyFields.expiresAt && { expiresAt }),
      ...(dirtyFields.creditLimit && { creditLimit }),
    })
    await queryClient.invalidateQueries()
    announce(
      <>
        The key <KeyName name={name} keyPrefix={apiKey.keyPrefix} /> is saved.
      </>,
    )
    onClose()
  })
  return (
    <form
      noValidate
      onSubmit={withCompleteExpiry(save, (message) => setError('expiresAt', { message }, { shouldFocus: true }))}
      className="grid gap-5"
    >
      {fault !== null && <ErrorNotice error={fault} />}
      <TextField
        label="Name"
        autoComplete="off"
        dir="auto"
        hint={`Up to ${KEY_NAME_LENGTH_MAX} characters.`}
        error={errors.name?.message}
        {...register('name')}
      />
      <KeyLimitFields
        expiresAt={{ error: errors.expiresAt?.message, ...register('expiresAt') }}
        creditLimit={{ error: errors.creditLimit?.message, ...register('creditLimit') }}
        chosen={{ expiresAt: chosenExpiry, creditLimit: chosenLimit }}
        creditsUsed={apiKey.creditsUsed}
      />
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={isSubmitting}>
          Save
        </Button>
      </div>
    </form>
  )
}
