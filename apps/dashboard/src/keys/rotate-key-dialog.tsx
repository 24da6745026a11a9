import { GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX } from '@keymeter/contract'
import { type FormEvent, useState } from 'react'
import { showSecret } from '../account/new-secret.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { currentSession } from '../call/session.ts'
import { api, queryClient } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Choice } from '../ui/choice.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { formatMoment } from '../ui/format.ts'
import { Notice } from '../ui/notice.tsx'
import type { KeyDialogProps } from './key-dialog.ts'

const GRACE_PERIODS = [
  { value: 0, title: 'End it now' },
  { value: 3_600, title: '1 hour' },
  { value: GRACE_SECONDS_DEFAULT, title: '24 hours' },
  { value: GRACE_SECONDS_MAX, title: '7 days' },
]

export function RotateKeyDialog({ apiKey, isOpen, onClose }: KeyDialogProps) {
  return (
    <Dialog title="Rotate secret" isOpen={isOpen} onCloseRequest={onClose}>
      <RotateKeyForm apiKey={apiKey} onClose={onClose} />
    </Dialog>
  )
}

function RotateKeyForm({ apiKey, onClose }: Omit<KeyDialogProps, 'isOpen'>) {
  const [graceSeconds, setGraceSeconds] = useState(GRACE_SECONDS_DEFAULT)
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    const userId = currentSession()?.user.id
    if (userId === undefined || isPending) return
    setFault(null)
    setIsPending(true)
    try {
      const { requestId: _, ...key } = await api.keys.rotate.mutate({ id: apiKey.id, graceSeconds })
      showSecret(userId, key)
      onClose()
      await queryClient.invalidateQueries()
    } catch (error) {
      setFault(describeCallError(error))
    }
    setIsPending(false)
  }
  return (
    <form noValidate onSubmit={submit} className="grid gap-5">
      {fault !== null && <ErrorNotice error={fault} />}
      <p className="text-sm text-ink-soft">
        <strong className="break-words font-medium text-ink">{apiKey.name}</strong> gets a new secret and stays the same key,
        with its usage, limits and history. Until the old secret ends, both work, so that you can replace it everywhere. If it
        may have leaked, end it now.
      </p>
      <Choice
        label="How long the old secret still works"
        options={GRACE_PERIODS}
        value={graceSeconds}
        onChange={setGraceSeconds}
      />
      {apiKey.graceEndsAt !== null && (
        <Notice>
          The previous secret still works until {formatMoment(apiKey.graceEndsAt)}. Rotating again ends it immediately.
        </Notice>
      )}
      <div className="flex justify-end gap-2">
        <Button variant="secondary" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" isPending={isPending}>
          Rotate secret
        </Button>
      </div>
    </form>
  )
}
