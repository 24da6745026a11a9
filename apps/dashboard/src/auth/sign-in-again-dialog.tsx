import { Dialog as BaseDialog } from '@base-ui/react/dialog'
import type { User } from '@supabase/auth-js'
import { useEffect, useState } from 'react'
import { useNewSecret } from '../account/new-secret.ts'
import { beginNewSignIn } from '../call/new-sign-in.ts'
import { currentSession, signOut, useHasSessionEnded, useSession } from '../call/session.ts'
import { queryClient } from '../call/trpc.ts'
import { POPUP } from '../ui/popup.ts'
import { UserText } from '../ui/user-text.tsx'
import { NewSignInForm } from './new-sign-in-form.tsx'
import { writtenAddress } from './written-address.ts'

/**
 * Asks the person to sign in again after the session has ended. The page below stays with its forms, but nobody can read it: the
 * person has perhaps signed out in another tab and left the computer. A secret that is not saved yet is shown first.
 */
export function SignInAgainDialog() {
  const hasEnded = useHasSessionEnded()
  const user = useSession()?.user
  const isSecretShown = useNewSecret() !== undefined
  useEffect(() => {
    if (!hasEnded) return
    // The queries have failed since the end of the session.
    return () => {
      if (currentSession() !== null) void queryClient.invalidateQueries()
    }
  }, [hasEnded])
  return (
    <BaseDialog.Root open={hasEnded && !isSecretShown}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="fixed inset-0 bg-canvas" />
        <BaseDialog.Popup className={POPUP}>
          <BaseDialog.Title className="text-lg font-semibold">Sign in again</BaseDialog.Title>
          <BaseDialog.Description className="text-sm text-ink-soft">
            Your session has ended. Your page and what you have typed are kept.
          </BaseDialog.Description>
          {user !== undefined && <SignInAgainForm user={user} />}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  )
}

function SignInAgainForm({ user }: { user: User }) {
  const { id: userId, email = '' } = user
  const [signIn] = useState(() => beginNewSignIn({ userId, email, previousToken: null }))
  useEffect(() => () => signIn.discard(), [signIn])
  return (
    <>
      <p className="text-sm">
        You were signed in as <UserText>{writtenAddress(email)}</UserText>.
      </p>
      <NewSignInForm
        user={user}
        signIn={signIn}
        explain={(sentence) => sentence}
        confirmText="Sign in"
        cancelText="Leave this page"
        onCancel={signOut}
        // The session has started, so the dialog closes.
        onDone={() => {}}
      />
    </>
  )
}
