import { X } from 'lucide-react'
import { useId, useRef, useState } from 'react'
import type { z } from 'zod'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { announce } from '../ui/toasts.tsx'

export interface ThresholdKind {
  title: string
  /** What the numbers mean. */
  explanation: string
  fieldLabel: string
  unit: string
  hint: string
  form: z.ZodType<{ threshold: number }, { threshold: string }>
  list: z.ZodType<number[], number[]>
  /** Returns a threshold with its unit, e.g. `50%`. */
  format: (threshold: number) => string
}

interface ThresholdEditorProps {
  kind: ThresholdKind
  thresholds: number[]
  /** True while this editor or the other one saves. The answer of a save replaces all shown thresholds, so saves must not overlap. */
  isSaving: boolean
  /** False if the role of the person does not allow a change. */
  maySave: boolean
  save: (thresholds: number[]) => Promise<void>
}

/** Shows the thresholds of one kind. Each added or removed threshold is saved immediately. */
export function ThresholdEditor({ kind, thresholds, isSaving, maySave, save }: ThresholdEditorProps) {
  const [removing, setRemoving] = useState<number | null>(null)
  const title = useId()
  const list = useRef<HTMLUListElement>(null)
  const form = useCallForm(kind.form, { threshold: '' })
  const { register, submit, setError, setFocus, reset, errors, fault, setFault } = form

  const add = submit(async ({ threshold }) => {
    const next = [...thresholds, threshold]
    const message = kind.list.safeParse(next).error?.issues[0]?.message
    if (message !== undefined) return setError('threshold', { message }, { shouldFocus: true })
    await save(next)
    announce(`The threshold of ${kind.format(threshold)} is added.`)
    reset()
  })

  const remove = async (threshold: number) => {
    setFault(null)
    setRemoving(threshold)
    // The remove button disappears together with its threshold. The remove button beside it then gets the focus. Otherwise the
    // focus would jump to the top of the page.
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])]
    const at = buttons.findIndex((button) => button.matches(':focus'))
    try {
      await save(thresholds.filter((one) => one !== threshold))
      announce(`The threshold of ${kind.format(threshold)} is removed.`)
      const neighbour = buttons[at + 1] ?? buttons[at - 1]
      if (neighbour === undefined) setFocus('threshold')
      else if (at >= 0) neighbour.focus()
    } catch (error) {
      setFault(describeCallError(error))
    }
    setRemoving(null)
  }

  return (
    <section aria-labelledby={title} className="grid content-start gap-4 p-4 sm:p-6">
      <div>
        <h3 id={title} className="font-medium">
          {kind.title}
        </h3>
        <p className="text-sm text-ink-soft">{kind.explanation}</p>
      </div>
      {fault !== null && <ErrorNotice error={fault} />}
      {thresholds.length === 0 ? (
        <p className="flex min-h-10 items-center text-sm text-ink-soft">No thresholds, so no alerts.</p>
      ) : (
        <ul ref={list} aria-labelledby={title} className="flex flex-wrap gap-2">
          {thresholds.map((threshold) => (
            <li key={threshold} className="figures flex items-center rounded-lg border border-line pl-3 font-medium text-sm">
              {kind.format(threshold)}
              {maySave ? (
                <Button
                  variant="quiet"
                  className="px-3"
                  aria-label={`Remove the threshold of ${kind.format(threshold)}`}
                  disabled={isSaving}
                  isPending={removing === threshold}
                  onClick={() => remove(threshold)}
                >
                  <X className="size-4" aria-hidden="true" />
                </Button>
              ) : (
                <span className="min-h-10 w-3" />
              )}
            </li>
          ))}
        </ul>
      )}
      {maySave ? (
        <form noValidate onSubmit={add} className="flex items-start gap-2">
          <div className="max-w-xs flex-1">
            <TextField
              label={kind.fieldLabel}
              inputMode="numeric"
              autoComplete="off"
              unit={kind.unit}
              hint={kind.hint}
              error={errors.threshold?.message}
              {...register('threshold')}
            />
          </div>
          {/* The margin is as high as the label of the field, so the button is at the same height as the input. */}
          <Button
            type="submit"
            variant="secondary"
            className="mt-6.5"
            disabled={isSaving}
            isPending={form.formState.isSubmitting}
          >
            Add
          </Button>
        </form>
      ) : (
        <p className="text-sm text-ink-soft">Only owners and admins change the thresholds.</p>
      )}
    </section>
  )
}
