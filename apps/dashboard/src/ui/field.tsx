import { Field as BaseField } from '@base-ui/react/field'
import type { ComponentProps, ReactNode } from 'react'

interface TextFieldProps extends ComponentProps<'input'> {
  label: string
  hint?: string
  error?: string | undefined
  /** Shown beside the input. Screen readers do not read it, so the label must contain it too. */
  unit?: string
  /** A button beside the input. */
  action?: ReactNode
}

/** A labelled input. Screen readers also read its error, or its hint if there is no error. */
export function TextField({ label, hint, error, unit, action, ...input }: TextFieldProps) {
  return (
    <BaseField.Root invalid={error !== undefined} className="grid gap-1.5">
      <BaseField.Label className="text-sm font-medium">{label}</BaseField.Label>
      <div className="flex items-center gap-2">
        <BaseField.Control
          {...input}
          aria-invalid={error !== undefined}
          className="min-h-10 w-full min-w-0 rounded-lg border border-line-strong bg-surface px-3 text-base data-invalid:border-danger sm:text-sm"
        />
        {unit !== undefined && (
          <span aria-hidden="true" className="text-sm">
            {unit}
          </span>
        )}
        {action}
      </div>
      {error !== undefined && (
        <BaseField.Error match className="text-sm text-danger">
          {error}
        </BaseField.Error>
      )}
      {error === undefined && hint !== undefined && (
        <BaseField.Description className="text-sm text-ink-soft">{hint}</BaseField.Description>
      )}
    </BaseField.Root>
  )
}
