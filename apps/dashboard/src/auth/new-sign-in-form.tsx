import type { User } from '@supabase/auth-js'
import { type FormEvent, useEffect, useState } from 'react'
import { hasPassword, providersOf } from '../call/credentials.ts'
import type { NewSignIn, SignInStep } from '../call/new-sign-in.ts'
import type { SecondFactor } from '../call/second-factor.ts'
import { openProviderWindow, readAccessToken, useSession } from '../call/session.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { Select } from '../ui/select.tsx'
import { TextButton } from '../ui/text-button.tsx'
import { OAuthButtons } from './oauth-buttons.tsx'
import { useCaptcha } from './use-captcha.tsx'

/** What the form asks for. */
type Asked = { what: 'password' | 'address' | 'code' } | { what: 'app'; factors: SecondFactor[] }

interface NewSignInFormProps {
  user: Pick<User, 'id' | 'email' | 'identities'>
  signIn: NewSignIn
  /** If set, the form asks for a code of one of these apps, because the first factor was already given. */
  factors?: SecondFactor[]
  /** Returns the text above the form. It contains the given sentence, which says what the form asks for. */
  explain: (sentence: string) => string
  confirmText: string
  cancelText: string
  onCancel: () => void
  /** Called after the user has signed in again, with this form or in another tab. */
  onDone: () => void
}

/**
 * Asks the user of this page to sign in again: with the password, with a code from an e-mail, or at an OAuth provider in another
 * window, and then with the second factor. The page keeps its forms.
 */
export function NewSignInForm({
  user,
  signIn,
  factors,
  explain,
  confirmText,
  cancelText,
  onCancel,
  onDone,
}: NewSignInFormProps) {
  const captcha = useCaptcha()
  const [asked, setAsked] = useState<Asked>(() =>
    factors === undefined ? { what: hasPassword(user) ? 'password' : 'address' } : { what: 'app', factors },
  )
  const [text, setText] = useState('')
  const [factorId, setFactorId] = useState(factors?.[0]?.id ?? '')
  const [fault, setFault] = useState<string | null>(null)
  const [isPending, setIsPending] = useState(false)
  const session = useSession()
  const sessionId = session && readAccessToken(session).sessionId
  const [firstSessionId] = useState(sessionId)
  useEffect(() => {
    // The user has signed in in another tab, e.g. with the link of the e-mail or at an OAuth provider.
    if (!isPending && sessionId !== firstSessionId) onDone()
  }, [isPending, sessionId, firstSessionId, onDone])

  const ask = (next: Asked) => {
    setAsked(next)
    setText('')
    setFault(null)
  }
  const take = (step: SignInStep) => {
    if ('fault' in step) return setFault(step.fault)
    if ('done' in step) return onDone()
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

  const isFirstStep = asked.what === 'password' || asked.what === 'address'
  // Somebody without an address and without a password can sign in only at a provider.
  const canSubmit = asked.what !== 'address' || Boolean(user.email)
  const providers = isFirstStep ? providersOf(user) : []
  return (
    <>
      <form noValidate onSubmit={submit} className="grid gap-4">
        <p className="text-sm text-ink-soft">
          {explain(asked.what === 'address' && providers.length > 0 ? PROVIDER_EXPLANATION : EXPLANATIONS[asked.what])}
        </p>
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
        {asked.what === 'password' && (
          <>
            <input type="hidden" name="username" autoComplete="username" value={user.email ?? ''} />
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
        <div hidden={!isFirstStep}>{captcha.widget}</div>
        <div className="flex flex-wrap justify-end gap-2">
          <Button variant="secondary" onClick={onCancel}>
            {cancelText}
          </Button>
          {canSubmit && (
            <Button type="submit" isPending={isPending} disabled={isFirstStep && captcha.isMissing}>
              {asked.what === 'address' ? 'Send the e-mail' : confirmText}
            </Button>
          )}
        </div>
      </form>
      <OAuthButtons providers={providers} start={(provider) => openProviderWindow(provider, user.id)} />
    </>
  )
}

const EXPLANATIONS = {
  password: 'Enter your password.',
  address: 'We can send an e-mail to your address.',
  code: 'Enter the code from the e-mail that we have sent, or open its link in this browser.',
  app: 'Enter the current code of your authenticator app.',
} satisfies Record<Asked['what'], string>

const PROVIDER_EXPLANATION = 'Continue in a window of your provider, or get an e-mail.'
