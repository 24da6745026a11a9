import { Dialog as BaseDialog } from '@base-ui/react/dialog'
import { useRef, useState } from 'react'
import { useNewSecret } from '../account/new-secret.ts'
import { signIn, signOut, useHasSessionEnded, useSession } from '../call/session.ts'
import { queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { POPUP } from '../ui/popup.ts'
import { UserText } from '../ui/user-text.tsx'
import { OAuthButtons } from './oauth-buttons.tsx'
import { useCaptcha } from './use-captcha.tsx'
import { writtenAddress } from './written-address.ts'

/**
 * Asks the person to sign in again after the session has ended. The page below stays with its forms, but nobody can read it: the
 * person has perhaps signed out in another tab and left the computer. A secret that is not saved yet is shown first.
 */
export function SignInAgainDialog() {
  const hasEnded = useHasSessionEnded()
  const email = useSession()?.user.email
  const isSecretShown = useNewSecret() !== undefined
  const password = useRef<HTMLInputElement>(null)
  return (
    <BaseDialog.Root open={hasEnded && !isSecretShown}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="fixed inset-0 bg-canvas" />
        <BaseDialog.Popup className={POPUP} initialFocus={password}>
          <BaseDialog.Title className="text-lg font-semibold">Sign in again</BaseDialog.Title>
          <BaseDialog.Description className="text-sm text-ink-soft">
            Your session has ended. Your page and what you have typed are kept.
          </BaseDialog.Description>
          <SignInAgainForm email={email ?? ''} passwordRef={password} />
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  )
}

function SignInAgainForm({ email, passwordRef }: { email: string; passwordRef: React.RefObject<HTMLInputElement | null> }) {
  const captcha = useCaptcha()
  const [fault, setFault] = useState<string | null>(null)
  const [isPending, setIsPending] = useState(false)
  const submit = async (event: React.FormEvent) => {
    event.preventDefault()
    setIsPending(true)
    const refusal = await signIn(email, passwordRef.current?.value ?? '', captcha.input)
    captcha.renew()
    setIsPending(false)
    setFault(refusal?.message ?? null)
    if (refusal === null) await queryClient.invalidateQueries()
  }
  return (
    <>
      <form noValidate onSubmit={submit} className="grid gap-4">
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
        <p className="text-sm">
          You were signed in as <UserText>{writtenAddress(email)}</UserText>.
        </p>
        <input type="text" autoComplete="username" value={email} readOnly hidden />
        <TextField ref={passwordRef} label="Password" type="password" autoComplete="current-password" />
        {captcha.widget}
        <div className="flex flex-wrap justify-end gap-2">
          <Button variant="secondary" onClick={signOut}>
            Leave this page
          </Button>
          <Button type="submit" isPending={isPending} disabled={captcha.isMissing}>
            Sign in
          </Button>
        </div>
      </form>
      <OAuthButtons next={location.pathname + location.search} />
    </>
  )
}
