import { api } from '../call/trpc.ts'
import { announce } from '../ui/toasts.tsx'
import { ConfirmKeyDialog } from './confirm-key-dialog.tsx'
import { InUseWarning } from './in-use-warning.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyName } from './key-name.tsx'

export function RevokeKeyDialog({ apiKey, ...dialog }: KeyDialogProps) {
  return (
    <ConfirmKeyDialog
      {...dialog}
      keyId={apiKey.id}
      title="Revoke key"
      actionLabel="Revoke"
      call={() => api.keys.revoke.mutate({ id: apiKey.id })}
      onDone={() =>
        announce(
          <>
            The key <KeyName {...apiKey} /> is revoked.
          </>,
        )
      }
    >
      <p>
        Calls with{' '}
        <strong className="wrap-anywhere font-medium text-ink">
          <KeyName {...apiKey} />
        </strong>{' '}
        stop working immediately. This cannot be undone.
      </p>
      <InUseWarning apiKey={apiKey} />
    </ConfirmKeyDialog>
  )
}
