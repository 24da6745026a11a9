import { OAUTH_PROVIDER_NAMES, type OAuthProvider } from '@keymeter/contract'
import { useState } from 'react'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'

interface OAuthButtonsProps {
  providers: OAuthProvider[]
  /** Leads to the provider. Resolves to false if the browser has blocked the window of the provider. */
  start: (provider: OAuthProvider) => Promise<boolean>
}

/** Shows a button for each OAuth provider. */
export function OAuthButtons({ providers, start }: OAuthButtonsProps) {
  const [fault, setFault] = useState<string | null>(null)
  if (providers.length === 0) return null
  const press = async (provider: OAuthProvider) => {
    setFault(null)
    try {
      if (!(await start(provider))) setFault('Your browser has blocked the window. Allow pop-ups for this site, and try again.')
    } catch {
      setFault(
        `The sign-in with ${OAUTH_PROVIDER_NAMES[provider]} could not be started. Try again, or use your e-mail address.`,
      )
    }
  }
  return (
    <>
      <div className="flex items-center gap-3 text-sm text-ink-soft" aria-hidden="true">
        <span className="h-px grow bg-line" />
        or
        <span className="h-px grow bg-line" />
      </div>
      <div className="grid gap-2">
        {providers.map((provider) => (
          <Button key={provider} variant="secondary" onClick={() => press(provider)}>
            Continue with {OAUTH_PROVIDER_NAMES[provider]}
          </Button>
        ))}
      </div>
      {fault !== null && <Notice tone="danger">{fault}</Notice>}
    </>
  )
}
