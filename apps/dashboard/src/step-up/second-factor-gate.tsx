import { type FormEvent, type ReactNode, useState } from 'react'
import { type SecondFactor, secondFactorsOf, verifyCode } from '../call/second-factor.ts'
import { signOut, useSession } from '../call/session.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Notice } from '../ui/notice.tsx'
import { Select } from '../ui/select.tsx'

/** Shows a page only after the user has given a code of their second factor, if they have one. The URL stays that of the page. */
export function SecondFactorGate({ children }: { children: ReactNode }) {
  const session = useSession()
  const apps = session === null ? [] : secondFactorsOf(session)
  return apps.length === 0 ? children : <AskForCode apps={apps} />
}

function AskForCode({ apps }: { apps: SecondFactor[] }) {
  const [appId, setAppId] = useState(apps[0]?.id ?? '')
  const [code, setCode] = useState('')
  const [fault, setFault] = useState<string | null>(null)
  const [isPending, setIsPending] = useState(false)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (isPending) return
    setIsPending(true)
    setFault(await verifyCode(appId, code))
    setIsPending(false)
  }
  return (
    <main className="mx-auto grid w-full max-w-md gap-6 px-4 py-10 sm:py-20">
      <title>Second factor · Keymeter</title>
      <div className="grid gap-5 rounded-2xl border border-line bg-surface p-6 shadow-sm sm:p-8">
        <h1 className="text-xl font-semibold">Enter your code</h1>
        <form noValidate onSubmit={submit} className="grid gap-4">
          {fault !== null && <Notice tone="danger">{fault}</Notice>}
          {apps.length > 1 && (
            <Select
              label="App"
              options={apps.map(({ id, name }) => ({ value: id, text: name }))}
              value={appId}
              onValueChange={setAppId}
            />
          )}
          <TextField
            label="Code"
            inputMode="numeric"
            autoComplete="one-time-code"
            hint="Your authenticator app shows it."
            value={code}
            onChange={(event) => setCode(event.target.value)}
          />
          <Button type="submit" isPending={isPending}>
            Continue
          </Button>
          <Button variant="quiet" onClick={signOut}>
            Sign out
          </Button>
        </form>
        <p className="text-sm text-ink-soft">
          If you have lost your app, use another app that you have added. If you have no other app, ask the operator of this
          service to remove it.
        </p>
      </div>
    </main>
  )
}
