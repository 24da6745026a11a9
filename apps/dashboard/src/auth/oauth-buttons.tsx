import { OAUTH_PROVIDER_NAMES, type OAuthProvider } from '@keymeter/contract'
import { useState } from 'react'
import { signInWithProvider } from '../call/session.ts'
import { settings } from '../call/settings.ts'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'

/** Shows a button for each OAuth provider of this deployment. After the sign-in, the browser returns to the page `next`. */
export function OAuthButtons({ next }: { next: string }) {
  const [fault, setFault] = useState<string | null>(null)
  if (settings.oauthProviders.length === 0) return null
  const start = async (provider: OAuthProvider) => {
    try {
      await signInWithProvider(provider, next)
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
        {settings.oauthProviders.map((provider) => (
          <Button key={provider} variant="secondary" onClick={() => start(provider)}>
            Continue with {OAUTH_PROVIDER_NAMES[provider]}
          </Button>
        ))}
      </div>
      {fault !== null && <Notice tone="danger">{fault}</Notice>}
    </>
  )
}
