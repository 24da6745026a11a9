import { useId } from 'react'
import { signInWithGoogle } from '../call/session.ts'
import { settings } from '../call/settings.ts'
import { Button } from '../ui/button.tsx'

export function GoogleButton({ onFault }: { onFault: (message: string) => void }) {
  const hint = useId()
  const start = async () => {
    try {
      await signInWithGoogle()
    } catch {
      onFault('Google sign-in could not be started. Try again, or use your e-mail address.')
    }
  }
  return (
    <div className="grid gap-2">
      <Button
        variant="secondary"
        disabled={!settings.googleSignIn}
        aria-describedby={settings.googleSignIn ? undefined : hint}
        onClick={start}
      >
        <GoogleMark />
        Continue with Google
      </Button>
      {!settings.googleSignIn && (
        <p id={hint} className="text-center text-sm text-ink-soft">
          Google sign-in is not configured on this deployment.
        </p>
      )}
    </div>
  )
}

function GoogleMark() {
  return (
    <svg viewBox="0 0 24 24" className="size-4" aria-hidden="true">
      <path fill="#4285F4" d="M22.5 12.2c0-.8-.1-1.5-.2-2.2H12v4.2h5.9a5 5 0 0 1-2.2 3.3v2.7h3.5c2.1-1.9 3.3-4.7 3.3-8Z" />
      <path
        fill="#34A853"
        d="M12 23c3 0 5.500-1 7.300-2.700l-3.500-2.700a6.600 6.600 0 0 1-9.900-3.500H2.200v2.800A11 11 0 0 0 12 23Z"
      />
      <path fill="#FBBC05" d="M5.900 14.100a6.600 6.600 0 0 1 0-4.200V7.100H2.200a11 11 0 0 0 0 9.800Z" />
      <path
        fill="#EA4335"
        d="M12 5.400c1.600 0 3.100.600 4.200 1.600l3.200-3.100A11 11 0 0 0 2.200 7.100l3.700 2.800A6.600 6.600 0 0 1 12 5.400Z"
      />
    </svg>
  )
}
