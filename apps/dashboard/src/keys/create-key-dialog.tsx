import { Radio } from '@base-ui/react/radio'
import { RadioGroup } from '@base-ui/react/radio-group'
import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { CreateKey, KEY_NAME_LENGTH_MAX, type KeyType } from '@keymeter/contract'
import { useId, useState } from 'react'
import { Controller, useForm } from 'react-hook-form'
import { type CallError, describeCallError } from '../app/call-error.ts'
import { fieldFaults } from '../app/field-faults.ts'
import { api, queryClient } from '../app/trpc.ts'
import { currentSession } from '../auth/session.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { ErrorNotice } from '../ui/notice.tsx'
import { showSecret } from './new-secret.ts'

export function CreateKeyDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Create a key" isOpen={isOpen} onCloseRequest={onClose}>
      <CreateKeyForm onClose={onClose} />
    </Dialog>
  )
}

function CreateKeyForm({ onClose }: { onClose: () => void }) {
  const [fault, setFault] = useState<CallError | null>(null)
  const { register, control, handleSubmit, setError, formState } = useForm({
    resolver: standardSchemaResolver(CreateKey),
    defaultValues: { name: '', keyType: 'dev' },
  })
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
      const faults = fieldFaults(callError, ['name', 'keyType'])
      for (const { field, message } of faults) setError(field, { message }, { shouldFocus: true })
      if (faults.length === 0) setFault(callError)
    }
  })
  return (
    <form noValidate onSubmit={submit} className="grid gap-5">
      {fault !== null && <ErrorNotice error={fault} />}
      <TextField
        label="Name"
        autoComplete="off"
        hint={`What it is for. Up to ${KEY_NAME_LENGTH_MAX} characters.`}
        error={formState.errors.name?.message}
        {...register('name')}
      />
      <Controller
        name="keyType"
        control={control}
        render={({ field }) => <TypeChoice value={field.value ?? 'dev'} onChange={field.onChange} />}
      />
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={formState.isSubmitting}>
          Create key
        </Button>
      </div>
    </form>
  )
}

const TYPES = [
  { type: 'dev', text: 'For development and tests.' },
  { type: 'prod', text: 'For what your users depend on.' },
] as const

function TypeChoice({ value, onChange }: { value: KeyType; onChange: (type: KeyType) => void }) {
  const label = useId()
  return (
    <div className="grid gap-1.5">
      <span id={label} className="text-sm font-medium">
        Type
      </span>
      <RadioGroup aria-labelledby={label} value={value} onValueChange={onChange} className="grid gap-2 sm:grid-cols-2">
        {TYPES.map(({ type, text }) => (
          // biome-ignore lint/a11y/noLabelWithoutControl: Base UI renders the control inside.
          <label
            key={type}
            className="flex cursor-pointer items-start gap-3 rounded-lg border border-line-strong p-3 has-data-checked:border-accent has-data-checked:bg-accent-soft"
          >
            <Radio.Root
              value={type}
              className="mt-0.5 grid size-4 shrink-0 place-content-center rounded-full border border-line-strong bg-surface data-checked:border-accent"
            >
              <Radio.Indicator className="size-2 rounded-full bg-accent" />
            </Radio.Root>
            <span className="grid text-sm">
              <span className="font-medium">{type}</span>
              <span className="text-ink-soft">{text}</span>
            </span>
          </label>
        ))}
      </RadioGroup>
      <p className="text-sm text-ink-soft">A label for now: both types spend the same credits.</p>
    </div>
  )
}
