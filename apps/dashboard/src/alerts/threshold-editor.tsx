import { ALERT_THRESHOLD_PERCENT_MAX, ALERT_THRESHOLDS_MAX, AlertThresholds } from '@keymeter/contract'
import { X } from 'lucide-react'
import { useRef, useState } from 'react'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api, queryClient, trpc } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { formatCredits } from '../ui/format.ts'
import { announce } from '../ui/toasts.tsx'
import { ThresholdForm } from './threshold-form.ts'

/** Shows the thresholds. Each added or removed threshold is saved immediately. */
export function ThresholdEditor({ thresholds }: { thresholds: number[] }) {
  const [removing, setRemoving] = useState<number | null>(null)
  const list = useRef<HTMLUListElement>(null)
  const form = useCallForm(ThresholdForm, { threshold: '' })
  const { register, submit, setError, setFocus, reset, errors, fault, setFault } = form
  const { isSubmitting } = form.formState
  const isSaving = isSubmitting || removing !== null

  const add = submit(async ({ threshold }) => {
    const next = AlertThresholds.safeParse([...thresholds, threshold])
    const message = next.error?.issues[0]?.message
    if (message !== undefined) return setError('threshold', { message }, { shouldFocus: true })
    await save([...thresholds, threshold])
    announce(`The threshold of ${threshold}% is added.`)
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
      announce(`The threshold of ${threshold}% is removed.`)
      const neighbour = buttons[at + 1] ?? buttons[at - 1]
      if (neighbour === undefined) setFocus('threshold')
      else if (at >= 0) neighbour.focus()
    } catch (error) {
      setFault(describeCallError(error))
    }
    setRemoving(null)
  }

  return (
    <div className="grid gap-4 border-line border-b p-4 sm:p-6">
      {fault !== null && <ErrorNotice error={fault} />}
      {thresholds.length === 0 ? (
        <p className="text-sm text-ink-soft">No thresholds, so no alerts.</p>
      ) : (
        <ul ref={list} aria-label="Thresholds" className="flex flex-wrap gap-2">
          {thresholds.map((threshold) => (
            <li key={threshold} className="figures flex items-center rounded-lg border border-line pl-3 font-medium text-sm">
              {threshold}%
              <Button
                variant="quiet"
                className="px-3"
                aria-label={`Remove the threshold of ${threshold}%`}
                disabled={isSaving}
                isPending={removing === threshold}
                onClick={() => remove(threshold)}
              >
                <X className="size-4" aria-hidden="true" />
              </Button>
            </li>
          ))}
        </ul>
      )}
      <form noValidate onSubmit={add} className="flex items-start gap-2">
        <div className="max-w-xs flex-1">
          <TextField
            label="Add a threshold"
            inputMode="numeric"
            autoComplete="off"
            hint={`Percent of the plan’s credits per cycle: 1 to ${formatCredits(ALERT_THRESHOLD_PERCENT_MAX)}. At most ${ALERT_THRESHOLDS_MAX} thresholds.`}
            error={errors.threshold?.message}
            {...register('threshold')}
          />
        </div>
        {/* The margin is as high as the label of the field, so the button is at the same height as the input. */}
        <Button type="submit" variant="secondary" className="mt-6.5" disabled={isSaving} isPending={isSubmitting}>
          Add
        </Button>
      </form>
    </div>
  )
}

async function save(thresholds: number[]): Promise<void> {
  const saved = await api.alerts.setThresholds.mutate({ thresholds })
  // Cancel running queries, because they can return the previous thresholds.
  await queryClient.cancelQueries(trpc.alerts.list.queryFilter())
  queryClient.setQueryData(trpc.alerts.list.queryKey(), (now) => now && { ...now, thresholds: saved.thresholds })
}
