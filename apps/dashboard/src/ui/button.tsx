import { Button as BaseButton } from '@base-ui/react/button'
import type { ComponentProps } from 'react'

const VARIANTS = {
  primary: 'bg-accent-fill text-white hover:brightness-110',
  secondary: 'border border-line-strong bg-surface text-ink hover:bg-raised',
  quiet: 'text-ink-soft hover:bg-raised hover:text-ink',
  danger: 'bg-danger-fill text-white hover:brightness-110',
} as const

interface ButtonProps extends ComponentProps<typeof BaseButton> {
  variant?: keyof typeof VARIANTS
  /** True while the previous press is being handled. Another press then does nothing. */
  isPending?: boolean
}

export function Button({ variant = 'primary', isPending = false, className = '', disabled, ...props }: ButtonProps) {
  return (
    <BaseButton
      type="button"
      {...props}
      disabled={disabled || isPending}
      focusableWhenDisabled
      aria-busy={isPending || undefined}
      className={`inline-flex min-h-10 items-center justify-center gap-2 rounded-lg px-4 text-sm font-medium motion-safe:transition data-disabled:cursor-not-allowed data-disabled:opacity-60 ${VARIANTS[variant]} ${className}`}
    />
  )
}
