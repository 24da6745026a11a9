import type { User } from '@supabase/auth-js'
import { type FormEvent, useState } from 'react'
import { appsOf, beginEnrolment, type Enrolment, removeApp, type SecondFactor, verifyCode } from '../call/second-factor.ts'
import { settings } from '../call/settings.ts'
import { queryClient } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { Moment } from '../ui/moment.tsx'
import { Notice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { Section } from './section.tsx'

/** The maximum length of the name of an app, in characters. */
const APP_NAME_LENGTH_MAX = 60

const reload = async () => await queryClient.invalidateQueries({ queryKey: ['user'] })

export function SecondFactorSection({ user }: { user: User }) {
  const apps = appsOf(user)
  // An app that exists can be removed, even if the project does not allow new ones.
  if (!settings.secondFactor && apps.length === 0) return null
  return (
    <Section title="Second factor">
      <p className="text-sm text-ink-soft">
        An authenticator app shows a new code every 30 seconds. With an app, a stolen password is not enough to use your
        account: each sign-in also needs a code.
      </p>
      {apps.length > 0 && (
        <ul aria-label="Your apps" className="grid gap-2">
          {apps.map((app) => (
            <AppRow key={app.id} app={app} isLast={apps.length === 1} />
          ))}
        </ul>
      )}
      {apps.length === 1 && (
        <Notice>
          Add a second app on another device. If you lose your only app, you cannot sign in until the operator of this service
          has removed it.
        </Notice>
      )}
      {settings.secondFactor && <AddApp user={user} count={apps.length} />}
    </Section>
  )
}

function AppRow({ app, isLast }: { app: SecondFactor; isLast: boolean }) {
  const [isOpen, setIsOpen] = useState(false)
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<string | null>(null)
  const remove = async () => {
    setIsPending(true)
    const refusal = await removeApp(app.id)
    setFault(refusal)
    setIsPending(false)
    if (refusal !== null) return
    setIsOpen(false)
    await reload()
  }
  return (
    <li className="flex flex-wrap items-center justify-between gap-2 rounded-lg border border-line px-4 py-2 text-sm">
      <span className="wrap-anywhere">
        <strong className="font-medium">
          <UserText>{app.name}</UserText>
        </strong>{' '}
        <span className="text-ink-soft">
          added <Moment iso={app.createdAt} />
        </span>
      </span>
      <Button variant="secondary" aria-label={`Remove ${app.name}…`} onClick={() => setIsOpen(true)}>
        Remove…
      </Button>
      <AlertDialog
        title="Remove this app?"
        isOpen={isOpen}
        onCancel={() => setIsOpen(false)}
        action={
          <Button variant="danger" isPending={isPending} onClick={remove}>
            Remove
          </Button>
        }
      >
        <p className="wrap-anywhere">
          Codes of <UserText>{app.name}</UserText> are not accepted any more.{' '}
          {isLast ? 'You then sign in without a second factor.' : 'You then sign in with another of your apps.'}
        </p>
        {fault !== null && <Notice tone="danger">{fault}</Notice>}
      </AlertDialog>
    </li>
  )
}

function AddApp({ user, count }: { user: User; count: number }) {
  const [name, setName] = useState('')
  const [code, setCode] = useState('')
  const [enrolment, setEnrolment] = useState<Enrolment | null>(null)
  const [fault, setFault] = useState<string | null>(null)
  const [isPending, setIsPending] = useState(false)
  const begin = async () => {
    const begun = await beginEnrolment(user, name.trim() || `App ${count + 1}`)
    if ('fault' in begun) setFault(begun.fault)
    else setEnrolment(begun)
  }
  const finish = async ({ id }: Enrolment) => {
    const refusal = await verifyCode(id, code)
    if (refusal !== null) return setFault(refusal)
    close()
    announce('Your second factor is on. Your other sessions without a code have ended.')
    await reload()
  }
  const close = () => {
    setEnrolment(null)
    setName('')
    setCode('')
    setFault(null)
  }
  const cancel = async ({ id }: Enrolment) => {
    close()
    await removeApp(id)
  }
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (isPending) return
    setIsPending(true)
    setFault(null)
    await (enrolment === null ? begin() : finish(enrolment))
    setIsPending(false)
  }
  return (
    <form noValidate onSubmit={submit} className="grid gap-4 sm:max-w-md">
      {fault !== null && <Notice tone="danger">{fault}</Notice>}
      {enrolment === null ? (
        <>
          <TextField
            label="Name of the new app"
            autoComplete="off"
            maxLength={APP_NAME_LENGTH_MAX}
            hint="For example, the device: My phone."
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <div>
            <Button type="submit" isPending={isPending}>
              Add an app
            </Button>
          </div>
        </>
      ) : (
        <>
          <p className="text-sm">Scan this image with your authenticator app. Then enter the code that the app shows.</p>
          {/* Apps need dark modules on a light ground, also in dark mode. */}
          <img src={enrolment.qrCode} alt="QR code for your authenticator app" className="size-60 rounded-lg bg-white p-3" />
          <p className="text-sm text-ink-soft">
            If you cannot scan it, enter this secret in the app: <code className="break-all text-ink">{enrolment.secret}</code>
          </p>
          <TextField
            label="Code from the app"
            inputMode="numeric"
            autoComplete="one-time-code"
            value={code}
            onChange={(event) => setCode(event.target.value)}
          />
          <div className="flex gap-2">
            <Button type="submit" isPending={isPending}>
              Turn on
            </Button>
            <Button variant="secondary" onClick={() => cancel(enrolment)}>
              Cancel
            </Button>
          </div>
        </>
      )}
    </form>
  )
}
