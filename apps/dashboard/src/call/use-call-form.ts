import { standardSchemaResolver } from '@hookform/resolvers/standard-schema'
import { useState } from 'react'
import { type DefaultValues, type FieldValues, type Path, useForm } from 'react-hook-form'
import type { z } from 'zod'
import { type CallError, describeCallError } from './call-error.ts'

/**
 * Returns a form. `schema` checks the input before it is sent to the server. Issues that the server reports are shown at their
 * fields. Any other failure of the call becomes `fault`.
 */
export function useCallForm<Input extends FieldValues, Output>(
  schema: z.ZodType<Output, Input>,
  defaultValues: DefaultValues<Input> & Input,
) {
  const [fault, setFault] = useState<CallError | null>(null)
  const form = useForm<Input, unknown, Output>({ resolver: standardSchemaResolver(schema), defaultValues })
  /** Returns a submit handler that passes the checked input to `call`. */
  const submit = (call: (input: Output) => Promise<unknown>) =>
    form.handleSubmit(async (input) => {
      setFault(null)
      try {
        await call(input)
      } catch (error) {
        const callError = describeCallError(error)
        const issues = callError.issues.filter(({ field }) => field in defaultValues)
        for (const { field, message } of issues) form.setError(field as Path<Input>, { message }, { shouldFocus: true })
        if (issues.length === 0) setFault(callError)
      }
    })
  return { ...form, errors: form.formState.errors, fault, setFault, submit }
}
