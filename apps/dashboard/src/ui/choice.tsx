import { Radio } from '@base-ui/react/radio'
import { RadioGroup } from '@base-ui/react/radio-group'
import { useId } from 'react'

interface ChoiceProps<Value> {
  label: string
  options: readonly { value: Value; title: string; text?: string }[]
  value: Value
  onChange: (value: Value) => void
  hint?: string
  disabled?: boolean
}

/** Radio buttons that look like cards, for a few options that should all be visible. */
export function Choice<Value extends string | number>({ label, options, value, onChange, hint, disabled }: ChoiceProps<Value>) {
  const labelId = useId()
  return (
    <div className="grid gap-1.5">
      <span id={labelId} className="text-sm font-medium">
        {label}
      </span>
      <RadioGroup
        aria-labelledby={labelId}
        value={value}
        onValueChange={onChange}
        disabled={disabled}
        className="grid gap-2 sm:grid-cols-2"
      >
        {options.map((option) => (
          // biome-ignore lint/a11y/noLabelWithoutControl: Base UI renders the control inside.
          <label
            key={option.value}
            className="flex cursor-pointer items-start gap-3 rounded-lg border border-line-strong p-3 has-data-disabled:cursor-not-allowed has-data-disabled:opacity-60 has-data-checked:border-accent has-data-checked:bg-accent-soft"
          >
            <Radio.Root
              value={option.value}
              className="mt-0.5 grid size-4 shrink-0 place-content-center rounded-full border border-line-strong bg-surface data-checked:border-accent"
            >
              <Radio.Indicator className="size-2 rounded-full bg-accent" />
            </Radio.Root>
            <span className="grid text-sm">
              <span className="font-medium">{option.title}</span>
              {option.text !== undefined && <span className="text-ink-soft">{option.text}</span>}
            </span>
          </label>
        ))}
      </RadioGroup>
      {hint !== undefined && <p className="text-sm text-ink-soft">{hint}</p>}
    </div>
  )
}
