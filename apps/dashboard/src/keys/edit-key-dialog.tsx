import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { KEY_NAME_LENGTH_MAX } from '@keymeter/contract'
import { useState } from 'react'
import { useForm } from 'react-hook-form'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { fieldFaults } from '../call/field-faults.ts'
import { api, queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { announce } from '../ui/toasts.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { EXPIRY_INCOMPLETE, isExpiryIncomplete, KEY_FORM_FIELDS, KeyForm, toKeyForm } from './key-form.ts'
import { KeyLimitFields } from './key-limit-fields.tsx'

export function EditKeyDialog({ apiKey, isOpen, onClose }: KeyDialogProps) {
  return (
    <Dialog title="Edit key" isOpen={isOpen} onCloseRequest={onClose}>
      <EditKeyForm apiKey={apiKey} onClose={onClose} />
    </Dialog>
  )
}

function EditKeyForm({ apiKey, onClose }: Omit<KeyDialogProps, 'isOpen'>) {
  const [fault, setFault] = useState<CallError | null>(null)
  const { register, handleSubmit, setError, formState } = useForm({
    resolver: standardSchemaResolver(KeyForm),
    defaultValues: toKeyForm(apiKey),
  })
  const { dirtyFields, errors, isSubmitting } = formState
  const submit = handleSubmit(async ({ name, expiresAt, creditLimit }) => {
    setFault(null)
    try {
      await api.keys.update.mutate({
        id: apiKey.id,
        // What was not touched stays as it is: somebody else may have changed it meanwhile, or it may be in the past.
        ...(dirtyFields.name && { name }),
        ...(dirtyFields.expiresAt && { expiresAt }),
        ...(dirtyFields.creditLimit && { creditLimit }),
      })
      await queryClient.invalidateQueries()
      announce(`The key ${name} is saved.`)
      onClose()
    } catch (error) {
      const callError = describeCallError(error)
      const faults = fieldFaults(callError, KEY_FORM_FIELDS)
      for (const { field, message } of faults) setError(field, { message }, { shouldFocus: true })
      if (faults.length === 0) setFault(callError)
    }
  })
  return (
    <form
      noValidate
      onSubmit={(event) => {
        if (!isExpiryIncomplete(event.currentTarget)) return submit(event)
        event.preventDefault()
        setError('expiresAt', { message: EXPIRY_INCOMPLETE }, { shouldFocus: true })
      }}
      className="grid gap-5"
    >
      {fault !== null && <ErrorNotice error={fault} />}
      <TextField
        label="Name"
        autoComplete="off"
        hint={`Up to ${KEY_NAME_LENGTH_MAX} characters.`}
        error={errors.name?.message}
        {...register('name')}
      />
      <KeyLimitFields
        expiresAt={{ error: errors.expiresAt?.message, ...register('expiresAt') }}
        creditLimit={{ error: errors.creditLimit?.message, ...register('creditLimit') }}
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
