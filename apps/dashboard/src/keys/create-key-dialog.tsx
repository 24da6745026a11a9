import { KEY_NAME_LENGTH_MAX, KeyType } from '@keymeter/contract'
import { Controller, useWatch } from 'react-hook-form'
import { z } from 'zod'
import { useAccess } from '../account/current-account.ts'
import { api, queryClient } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { Choice } from '../ui/choice.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { KeyForm, toKeyForm, withCompleteExpiry } from './key-form.ts'
import { KeyLimitFields } from './key-limit-fields.tsx'
import { SecretFault } from './secret-fault.tsx'
import { useSecretRequest } from './use-secret-request.ts'

const TYPES: Record<KeyType, string> = { dev: 'For development and tests.', prod: 'For what your users depend on.' }
const TYPE_OPTIONS = KeyType.options.map((value) => ({ value, title: value, text: TYPES[value] }))

const BELONGS_TO = [
  { value: 'person', title: 'You', text: 'It is listed with your keys when you leave.' },
  { value: 'service', title: 'No person', text: 'A server uses it. Only owners and admins can change it.' },
] as const

const CreateKeyForm = KeyForm.extend({ keyType: KeyType, isService: z.boolean() })

const NOTHING_YET: z.input<typeof CreateKeyForm> = {
  ...toKeyForm({ name: '', expiresAt: null, creditLimit: null }),
  keyType: 'dev',
  isService: false,
}

export function CreateKeyDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Create a key" isOpen={isOpen} onCloseRequest={onClose}>
      <CreateForm onClose={onClose} />
    </Dialog>
  )
}

function CreateForm({ onClose }: { onClose: () => void }) {
  const { send, isFrozen } = useSecretRequest<z.output<typeof CreateKeyForm>>(api.keys.create.mutate)
  const { register, control, submit, setError, errors, formState, fault } = useCallForm(CreateKeyForm, NOTHING_YET)
  const mayCreateService = useAccess('keys.create') === 'yes'
  const [expiresAt, creditLimit] = useWatch({ control, name: ['expiresAt', 'creditLimit'] })
  const create = submit(async (input) => {
    if (!(await send(input))) return
    onClose()
    await queryClient.invalidateQueries()
  })
  return (
    <form
      noValidate
      onSubmit={withCompleteExpiry(create, (message) => setError('expiresAt', { message }, { shouldFocus: true }))}
      className="grid gap-5"
    >
      <SecretFault error={fault} isFrozen={isFrozen} />
      <fieldset disabled={isFrozen} className="grid gap-5">
        <TextField
          label="Name"
          autoComplete="off"
          dir="auto"
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
              disabled={isFrozen}
              hint="A label for now: both types spend the same credits."
            />
          )}
        />
        <details open={errors.expiresAt !== undefined || errors.creditLimit !== undefined || undefined}>
          <summary className="min-h-6 w-fit cursor-pointer rounded text-sm font-medium text-accent">More options</summary>
          <div className="mt-4 grid gap-5">
            {mayCreateService && (
              <Controller
                name="isService"
                control={control}
                render={({ field }) => (
                  <Choice
                    label="Belongs to"
                    options={BELONGS_TO}
                    value={field.value ? 'service' : 'person'}
                    onChange={(chosen) => field.onChange(chosen === 'service')}
                    disabled={isFrozen}
                  />
                )}
              />
            )}
            <KeyLimitFields
              expiresAt={{ error: errors.expiresAt?.message, ...register('expiresAt') }}
              creditLimit={{ error: errors.creditLimit?.message, ...register('creditLimit') }}
              chosen={{ expiresAt, creditLimit }}
              creditsUsed={0}
            />
          </div>
        </details>
      </fieldset>
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={formState.isSubmitting}>
          {isFrozen ? 'Try again' : 'Create key'}
        </Button>
      </div>
    </form>
  )
}
