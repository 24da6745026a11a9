import { Button as BaseButton } from '@base-ui/react/button'
import type { ComponentProps } from 'react'

export function TextButton({
  isPending = false,
  disabled = false,
  ...props
}: ComponentProps<typeof BaseButton> & { isPending?: boolean }) {
  return (
    <BaseButton
      type="button"
      {...props}
      disabled={isPending || disabled}
      focusableWhenDisabled
      aria-busy={isPending || undefined}
      className="min-h-6 font-medium text-accent underline underline-offset-2 data-disabled:opacity-60"
    />
  )
}
