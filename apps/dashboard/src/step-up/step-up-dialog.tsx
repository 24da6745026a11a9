import type { Session } from '@supabase/auth-js'
import { useEffect, useState } from 'react'
import { NewSignInForm } from '../auth/new-sign-in-form.tsx'
import { beginNewSignIn } from '../call/new-sign-in.ts'
import { useSession } from '../call/session.ts'
import { useStepUp } from '../call/step-up.ts'
import { Dialog } from '../ui/dialog.tsx'

/** Asks the user to sign in again when the server wants a recent sign-in. The page and its forms stay behind the dialog. */
export function StepUpDialog() {
  const stepUp = useStepUp()
  const session = useSession()
  return (
    <Dialog title="Confirm that it is you" isOpen={stepUp !== null} onCloseRequest={() => stepUp?.end(false)}>
      {session !== null && stepUp !== null && <StepUpForm session={session} onEnd={stepUp.end} />}
    </Dialog>
  )
}

function StepUpForm({ session, onEnd }: { session: Session; onEnd: (isSignedIn: boolean) => void }) {
  const { user, access_token } = session
  const [signIn] = useState(() => beginNewSignIn({ userId: user.id, email: user.email ?? '', previousToken: access_token }))
  useEffect(() => () => signIn.discard(), [signIn])
  return (
    <NewSignInForm
      user={user}
      signIn={signIn}
      explain={(sentence) =>
        `This change needs a new sign-in. ${sentence} Your change is then made, and nothing you have typed is lost.`
      }
      confirmText="Confirm"
      cancelText="Cancel"
      onCancel={() => onEnd(false)}
      onDone={() => onEnd(true)}
    />
  )
}
