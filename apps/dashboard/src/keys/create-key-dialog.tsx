import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { KEY_NAME_LENGTH_MAX, KeyType } from '@keymeter/contract'
import { useState } from 'react'
import { Controller, useForm } from 'react-hook-form'
import type { z } from 'zod'
import { showSecret } from '../account/new-secret.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { fieldFaults } from '../call/field-faults.ts'
import { currentSession } from '../call/session.ts'
import { api, queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Choice } from '../ui/choice.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { EXPIRY_INCOMPLETE, isExpiryIncomplete, KEY_FORM_FIELDS, KeyForm, toKeyForm } from './key-form.ts'
import { KeyLimitFields } from './key-limit-fields.tsx'

const TYPES: Record<KeyType, string> = { dev: 'For development and tests.', prod: 'For what your users depend on.' }
const TYPE_OPTIONS = KeyType.options.map((value) => ({ value, title: value, text: TYPES[value] }))

const CreateKeyForm = KeyForm.extend({ keyType: KeyType })

const NOTHING_YET: z.input<typeof CreateKeyForm> = {
  ...toKeyForm({ name: '', expiresAt: null, creditLimit: null }),
  keyType: 'dev',
}

export function CreateKeyDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Create a key" isOpen={isOpen} onCloseRequest={onClose}>
      <CreateForm onClose={onClose} />
    </Dialog>
  )
}

function CreateForm({ onClose }: { onClose: () => void }) {
  const [fault, setFault] = useState<CallError | null>(null)
  const { register, control, handleSubmit, setError, formState } = useForm({
    resolver: standardSchemaResolver(CreateKeyForm),
    defaultValues: NOTHING_YET,
  })
  const { errors, isSubmitting } = formState
  const submit = handleSubmit(async (input) => {
    const userId = currentSession()?.user.id
    if (userId === undefined) return
    setFault(null)
    try {
      const { requestId: _, ...key } = await api.keys.create.mutate(input)
      showSecret(userId, key)
      onClose()
      await queryClient.invalidateQueries()
    } catch (error) {
      const callError = describeCallError(error)
      const faults = fieldFaults(callError, [...KEY_FORM_FIELDS, 'keyType'])
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
        hint={`What it is for. Up to ${KEY_NAME_LENGTH_MAX} characters.`}
        error={errors.name?.message}
        {...register('name')}
      />
      <Controller
        name="keyType"
        control={control}
        render={({ field }) => (
          <Choice
            label="Type"
            options={TYPE_OPTIONS}
            value={field.value}
            onChange={field.onChange}
            hint="A label for now: both types spend the same credits."
          />
        )}
      />
      <details open={errors.expiresAt !== undefined || errors.creditLimit !== undefined || undefined}>
        <summary className="min-h-6 w-fit cursor-pointer rounded text-sm font-medium text-accent">More options</summary>
        <div className="mt-4">
          <KeyLimitFields
            expiresAt={{ error: errors.expiresAt?.message, ...register('expiresAt') }}
            creditLimit={{ error: errors.creditLimit?.message, ...register('creditLimit') }}
          />
        </div>
      </details>
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={isSubmitting}>
          Create key
        </Button>
      </div>
    </form>
  )
}
