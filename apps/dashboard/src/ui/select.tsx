import type { ComponentProps } from 'react'

interface SelectProps<Value extends string> extends Omit<ComponentProps<'select'>, 'onChange' | 'value'> {
  label: string
  options: readonly { value: Value; text: string }[]
  value: Value
  onValueChange: (value: Value) => void
}

/** The browser's native select element, which works well on phones and with the keyboard. */
export function Select<Value extends string>({
  label,
  options,
  value,
  onValueChange,
  className = '',
  ...select
}: SelectProps<Value>) {
  return (
    <label className={`grid min-w-0 gap-1.5 ${className}`}>
      <span className="text-sm font-medium">{label}</span>
      <select
        {...select}
        value={value}
        onChange={(event) => {
          const chosen = options[event.target.selectedIndex]
          if (chosen !== undefined) onValueChange(chosen.value)
        }}
        className="min-h-10 w-full truncate rounded-lg border border-line-strong bg-surface px-3 text-base sm:text-sm"
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </label>
  )
}
