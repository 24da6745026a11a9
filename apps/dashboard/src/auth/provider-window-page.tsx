import { useEffect, useState } from 'react'
import { beginNewSignIn, type NewSignIn, type SignInStep } from '../call/new-sign-in.ts'
import { currentSession, providerReturn, returnRefusal } from '../call/session.ts'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { AuthPage } from './auth-page.tsx'
import { NewSignInForm } from './new-sign-in-form.tsx'

interface Returned {
  userId: string
  signIn: NewSignIn
  step: Promise<SignInStep>
}

/** Outside of React, which can run an effect twice. */
let returned: Returned | null = null

function takeReturn(): Returned | null {
  if (returned !== null || providerReturn === null) return returned
  const { userId, session } = providerReturn
  const signIn = beginNewSignIn({ userId, email: '', previousToken: currentSession()?.access_token ?? null })
  const step = session === null ? Promise.resolve({ fault: returnRefusal ?? '' }) : signIn.withSession(session)
  returned = { userId, signIn, step }
  return returned
}

/**
 * The page of a window in which a person has signed in again at an OAuth provider. The page that has opened the window goes on with the
 * new session, and this window closes.
 */
export function ProviderWindowPage() {
  const [step, setStep] = useState<SignInStep | null>(null)
  useEffect(() => {
    takeReturn()?.step.then((taken) => {
      setStep(taken)
      if ('fault' in taken) returned?.signIn.discard()
      if ('done' in taken) window.close()
    })
  }, [])
  if (step !== null && 'factors' in step && returned !== null) {
    return (
      <AuthPage title="Enter your code">
        <NewSignInForm
          user={{ id: returned.userId }}
          signIn={returned.signIn}
          factors={step.factors}
          explain={(sentence) => sentence}
          confirmText="Continue"
          cancelText="Cancel"
          onCancel={() => {
            returned?.signIn.discard()
            setStep({ fault: 'You have not signed in. Close this window and go back to your page.' })
            window.close()
          }}
          onDone={() => {
            setStep({ done: true })
            window.close()
          }}
        />
      </AuthPage>
    )
  }
  const isFault = step !== null && 'fault' in step
  const isWaiting = step === null && providerReturn !== null
  return (
    <AuthPage title={isFault ? 'You are not signed in' : isWaiting ? 'Signing in' : 'You are signed in'}>
      {isFault ? <Notice tone="danger">{step.fault}</Notice> : null}
      {isWaiting ? (
        <div role="status" aria-label="Signing in" className="h-10 rounded-lg bg-raised" />
      ) : (
        <>
          {!isFault && <p className="text-sm text-ink-soft">Close this window and go back to your page.</p>}
          <Button variant="secondary" onClick={() => window.close()}>
            Close this window
          </Button>
        </>
      )}
    </AuthPage>
  )
}
