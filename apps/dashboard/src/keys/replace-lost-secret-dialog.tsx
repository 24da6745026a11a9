import type { ReplaceLostSecret } from '@keymeter/contract'
import { useState } from 'react'
import type { z } from 'zod'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { api, queryClient } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyName } from './key-name.tsx'
import { SecretFault } from './secret-fault.tsx'
import { useSecretRequest } from './use-secret-request.ts'

/** Asks before a lost secret is replaced, because a secret that was never used can be deployed all the same. */
export function ReplaceLostSecretDialog({ apiKey, isOpen, onClose }: KeyDialogProps) {
  const { send, isFrozen } = useSecretRequest<Omit<z.input<typeof ReplaceLostSecret>, 'idempotencyKey'>>(
    api.keys.replaceLostSecret.mutate,
  )
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const replace = async () => {
    if (isPending) return
    setIsPending(true)
    try {
      if (await send({ id: apiKey.id, keyPrefix: apiKey.keyPrefix })) onClose()
    } catch (error) {
      setFault(describeCallError(error))
    }
    await queryClient.invalidateQueries()
    setIsPending(false)
  }
  return (
    <AlertDialog
      title="Get a new secret?"
      isOpen={isOpen}
      onCancel={onClose}
      finalFocus={() => document.getElementById('keys')}
      action={
        <Button variant="danger" isPending={isPending} onClick={replace}>
          {isFrozen ? 'Try again' : 'Get a new one'}
        </Button>
      }
    >
      <p>
        The secret{' '}
        <strong className="font-medium text-ink">
          <code>{apiKey.keyPrefix}…</code>
        </strong>{' '}
        of{' '}
        <strong className="wrap-anywhere font-medium text-ink">
          <KeyName name={apiKey.name} />
        </strong>{' '}
        stops working immediately. It was never used. If you have saved it somewhere, keep it instead.
      </p>
      <SecretFault error={fault} isFrozen={isFrozen} />
    </AlertDialog>
  )
}
