import type { Session } from '@supabase/auth-js'
import { type FormEvent, useEffect, useState } from 'react'
import { useCaptcha } from '../auth/use-captcha.tsx'
import { hasPassword } from '../call/credentials.ts'
import { beginNewSignIn, type SignInStep } from '../call/new-sign-in.ts'
import type { SecondFactor } from '../call/second-factor.ts'
import { readAccessToken, useSession } from '../call/session.ts'
import { useStepUp } from '../call/step-up.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { Select } from '../ui/select.tsx'
import { TextButton } from '../ui/text-button.tsx'

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

/** What the form asks for. */
type Asked = { what: 'password' | 'address' | 'code' } | { what: 'app'; factors: SecondFactor[] }

function StepUpForm({ session, onEnd }: { session: Session; onEnd: (isSignedIn: boolean) => void }) {
  const captcha = useCaptcha()
  const [signIn] = useState(() => beginNewSignIn(session))
  const [asked, setAsked] = useState<Asked>({ what: hasPassword(session.user) ? 'password' : 'address' })
  const [text, setText] = useState('')
  const [factorId, setFactorId] = useState('')
  const [fault, setFault] = useState<string | null>(null)
  const [isPending, setIsPending] = useState(false)
  useEffect(() => () => signIn.discard(), [signIn])
  const { sessionId } = readAccessToken(session)
  const [firstSessionId] = useState(sessionId)
  useEffect(() => {
    // The user has signed in in another tab, e.g. with the link of the e-mail.
    if (!isPending && sessionId !== firstSessionId) onEnd(true)
  }, [isPending, sessionId, firstSessionId, onEnd])

  const ask = (next: Asked) => {
    setAsked(next)
    setText('')
    setFault(null)
  }
  const take = (step: SignInStep) => {
    if ('fault' in step) return setFault(step.fault)
    if ('done' in step) return onEnd(true)
    setFactorId(step.factors[0]?.id ?? '')
    ask({ what: 'app', factors: step.factors })
  }
  const sendCode = async () => {
    const refusal = await signIn.sendCode(captcha.input)
    captcha.renew()
    if (refusal === null) ask({ what: 'code' })
    else setFault(refusal)
  }
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    // React passes events through portals to the form from which the refused call came.
    event.stopPropagation()
    if (isPending) return
    setIsPending(true)
    setFault(null)
    if (asked.what === 'address') await sendCode()
    else if (asked.what === 'password') {
      const step = await signIn.withPassword(text, captcha.input)
      captcha.renew()
      take(step)
    } else if (asked.what === 'code') take(await signIn.withCode(text))
    else take(await signIn.withSecondFactor(factorId, text))
    setIsPending(false)
  }

  const needsCaptcha = asked.what === 'password' || asked.what === 'address'
  return (
    <form noValidate onSubmit={submit} className="grid gap-4">
      <p className="text-sm text-ink-soft">
        This change needs a new sign-in. {EXPLANATIONS[asked.what]} Your change is then made, and nothing you have typed is
        lost.
      </p>
      {fault !== null && <Notice tone="danger">{fault}</Notice>}
      {asked.what === 'password' && (
        <>
          <input type="hidden" name="username" autoComplete="username" value={session.user.email ?? ''} />
          <TextField
            key="password"
            label="Password"
            type="password"
            autoComplete="current-password"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </>
      )}
      {asked.what === 'app' && asked.factors.length > 1 && (
        <Select
          label="App"
          options={asked.factors.map(({ id, name }) => ({ value: id, text: name }))}
          value={factorId}
          onValueChange={setFactorId}
        />
      )}
      {(asked.what === 'code' || asked.what === 'app') && (
        <TextField
          key={asked.what}
          label="Code"
          inputMode="numeric"
          autoComplete="one-time-code"
          autoFocus
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      )}
      {asked.what === 'password' && (
        <div className="text-sm">
          <TextButton disabled={captcha.isMissing} onClick={sendCode}>
            No password? Get an e-mail.
          </TextButton>
        </div>
      )}
      {/* Supabase Auth asks for the captcha only before a password and before a mail. */}
      <div hidden={!needsCaptcha}>{captcha.widget}</div>
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={() => onEnd(false)}>
          Cancel
        </Button>
        <Button type="submit" isPending={isPending} disabled={needsCaptcha && captcha.isMissing}>
          {asked.what === 'address' ? 'Send the e-mail' : 'Confirm'}
        </Button>
      </div>
    </form>
  )
}

const EXPLANATIONS = {
  password: 'Enter your password.',
  address: 'We can send an e-mail to your address.',
  code: 'Enter the code from the e-mail that we have sent, or open its link in this browser.',
  app: 'Enter the current code of your authenticator app.',
} satisfies Record<Asked['what'], string>
