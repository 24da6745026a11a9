import type { Session } from '@supabase/auth-js'
import { useState } from 'react'
import { signOutEverywhere } from '../call/credentials.ts'
import { readAccessToken } from '../call/session.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { Section } from './section.tsx'

const MINUTE_SECONDS = 60

export function SessionsSection({ session }: { session: Session }) {
  const [isOpen, setIsOpen] = useState(false)
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<string | null>(null)
  const minutes = Math.ceil(readAccessToken(session).lifetimeSeconds / MINUTE_SECONDS)
  const signOut = async () => {
    setIsPending(true)
    setFault(await signOutEverywhere())
    setIsPending(false)
  }
  const close = () => {
    setFault(null)
    setIsOpen(false)
  }
  return (
    <Section title="Sessions">
      <p className="text-sm text-ink-soft">
        If somebody else perhaps uses your sign-in, or you forgot to sign out on another device, end all your sessions. Then
        change your password.
      </p>
      <div>
        <Button variant="secondary" onClick={() => setIsOpen(true)}>
          Sign out everywhere…
        </Button>
      </div>
      <AlertDialog
        title="Sign out everywhere?"
        isOpen={isOpen}
        onCancel={close}
        action={
          <Button variant="danger" isPending={isPending} onClick={signOut}>
            Sign out everywhere
          </Button>
        }
      >
        <p>
          All your sessions end, also in this browser. From now on, none of them can create or end a secret. An open page
          elsewhere can still show data and make other changes until its access token expires, which takes at most {minutes}{' '}
          {minutes === 1 ? 'minute' : 'minutes'}. Your API keys keep working.
        </p>
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
      </AlertDialog>
    </Section>
  )
}
