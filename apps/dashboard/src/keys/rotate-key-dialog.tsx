import { GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX, type RotateKey } from '@keymeter/contract'
import { type FormEvent, useState } from 'react'
import type { z } from 'zod'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { api, queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Choice } from '../ui/choice.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { formatMoment } from '../ui/format.ts'
import { Notice } from '../ui/notice.tsx'
import { describeLocalTime } from '../ui/time-zone.ts'
import { ExpiryNotice } from './expiry-notice.tsx'
import { InUseWarning } from './in-use-warning.tsx'
import { isInUse } from './is-in-use.ts'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyForm } from './key-form.ts'
import { KeyName } from './key-name.tsx'
import { SecretFault } from './secret-fault.tsx'
import { useSecretRequest } from './use-secret-request.ts'

const GRACE_PERIODS = [
  { value: 0, title: 'End it now' },
  { value: 3_600, title: '1 hour' },
  { value: GRACE_SECONDS_DEFAULT, title: '24 hours' },
  { value: GRACE_SECONDS_MAX, title: '7 days' },
]

const EXPIRIES = [
  { value: 'at', title: 'At a chosen time' },
  { value: 'never', title: 'Never' },
] as const

export function RotateKeyDialog({ apiKey, isOpen, onClose }: KeyDialogProps) {
  return (
    <Dialog title="Rotate secret" isOpen={isOpen} onCloseRequest={onClose}>
      <RotateKeyForm apiKey={apiKey} onClose={onClose} />
    </Dialog>
  )
}

function RotateKeyForm({ apiKey, onClose }: Omit<KeyDialogProps, 'isOpen'>) {
  const { send, isFrozen } = useSecretRequest<Omit<z.input<typeof RotateKey>, 'idempotencyKey'>>(api.keys.rotate.mutate)
  /** The server can find that the key has expired since the dialog was opened. It then refuses the call and names the field. */
  const [hasExpired, setHasExpired] = useState(() => apiKey.expiresAt !== null && Date.parse(apiKey.expiresAt) <= Date.now())
  const [graceSeconds, setGraceSeconds] = useState(GRACE_SECONDS_DEFAULT)
  const [expires, setExpires] = useState<'at' | 'never'>('at')
  const [expiryText, setExpiryText] = useState('')
  const [expiryFault, setExpiryFault] = useState<string>()
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const expiresAt = expires === 'never' ? null : (KeyForm.shape.expiresAt.safeParse(expiryText).data ?? undefined)

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (isPending) return
    if (hasExpired && expiresAt === undefined) return setExpiryFault('Choose both date and time, in the future.')
    setIsPending(true)
    try {
      const isSent = await send({
        id: apiKey.id,
        graceSeconds,
        // Only the secret that the user sees here may end now. Another session can have replaced it.
        ...(graceSeconds === 0 && !hasExpired && { keyPrefix: apiKey.keyPrefix }),
        ...(hasExpired && { expiresAt }),
      })
      if (isSent) onClose()
    } catch (error) {
      const callError = describeCallError(error)
      // A frozen form cannot take another expiry. The user can cancel, and the next opening of the dialog asks for one.
      const issue = isFrozen ? undefined : callError.issues.find(({ field }) => field === 'expiresAt')
      setExpiryFault(issue?.message)
      if (issue === undefined) setFault(callError)
      else setHasExpired(true)
    }
    await queryClient.invalidateQueries()
    setIsPending(false)
  }

  return (
    <form noValidate onSubmit={submit} className="grid gap-5">
      <SecretFault error={fault} isFrozen={isFrozen} />
      <p className="text-sm text-ink-soft">
        <strong className="wrap-anywhere font-medium text-ink">
          <KeyName {...apiKey} />
        </strong>{' '}
        gets a new secret and stays the same key, with its usage, limits and history.{' '}
        {hasExpired
          ? 'The key has expired, so choose when it expires next. Its current and previous secrets do not work again.'
          : 'Until the current secret ends, both work, so that you can replace it everywhere. If it may have leaked, end it now.'}
      </p>
      {hasExpired ? (
        <fieldset disabled={isFrozen} className="grid gap-5">
          <Choice label="New expiry" options={EXPIRIES} value={expires} onChange={setExpires} disabled={isFrozen} />
          {expires === 'at' && (
            <TextField
              label="Expires"
              type="datetime-local"
              hint={describeLocalTime()}
              error={expiryFault}
              value={expiryText}
              onChange={(event) => {
                setExpiryText(event.target.value)
                setExpiryFault(undefined)
              }}
            />
          )}
          {expiresAt != null && <ExpiryNotice expiresAt={expiresAt} />}
        </fieldset>
      ) : (
        <>
          <Choice
            label="How long the current secret still works"
            options={GRACE_PERIODS}
            value={graceSeconds}
            onChange={setGraceSeconds}
            disabled={isFrozen}
          />
          {graceSeconds === 0 && isInUse(apiKey) && (
            <Notice tone="danger">
              <InUseWarning apiKey={apiKey} />
              <p>Calls with the secret {apiKey.keyPrefix}… stop working immediately.</p>
            </Notice>
          )}
          {apiKey.expiresAt !== null && <ExpiryNotice expiresAt={apiKey.expiresAt} />}
          {apiKey.expiresAt !== null && Date.parse(apiKey.expiresAt) < Date.now() + graceSeconds * 1000 && (
            <Notice>
              The current secret works at the latest until the key expires, {formatMoment(apiKey.expiresAt)}. The new secret
              ends then too. To keep the key, choose a later expiry with “Edit…”.
            </Notice>
          )}
          {apiKey.graceEndsAt !== null && (
            <Notice>
              {/* One or several previous secrets work: the server returns only the time when the last one ends. */}
              Previous secrets work until {formatMoment(apiKey.graceEndsAt)} at the latest. Your choice here does not change
              that. To end all of them now, use “End now” in the list of keys.
            </Notice>
          )}
        </>
      )}
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={isPending}>
          {isFrozen ? 'Try again' : 'Rotate secret'}
        </Button>
      </div>
    </form>
  )
}
