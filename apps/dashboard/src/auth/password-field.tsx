import { type ComponentProps, useState } from 'react'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'

/** An input for a new password. A person types the password once, and can show it to check it. */
export function PasswordField(props: Omit<ComponentProps<typeof TextField>, 'type' | 'autoComplete' | 'action'>) {
  const [isShown, setIsShown] = useState(false)
  return (
    <TextField
      {...props}
      type={isShown ? 'text' : 'password'}
      autoComplete="new-password"
      autoCapitalize="none"
      spellCheck={false}
      action={
        <Button variant="secondary" aria-pressed={isShown} onClick={() => setIsShown(!isShown)} className="shrink-0">
          Show<span className="sr-only"> password</span>
        </Button>
      }
    />
  )
}
