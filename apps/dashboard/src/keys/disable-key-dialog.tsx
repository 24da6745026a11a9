import { useCurrentAccountId } from '../account/current-account.ts'
import { api } from '../call/trpc.ts'
import { announceDisabled } from './announce-disabled.tsx'
import { ConfirmKeyDialog } from './confirm-key-dialog.tsx'
import { InUseWarning } from './in-use-warning.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyName } from './key-name.tsx'

/** Asks before a key is disabled that is in use. Any other key is disabled without a question. */
export function DisableKeyDialog({ apiKey, ...dialog }: KeyDialogProps) {
  const accountId = useCurrentAccountId()
  return (
    <ConfirmKeyDialog
      {...dialog}
      keyId={apiKey.id}
      title="Disable key"
      actionLabel="Disable"
      call={() => api.keys.disable.mutate({ id: apiKey.id })}
      onDone={() => announceDisabled(apiKey, accountId)}
    >
      <p>
        Calls with{' '}
        <strong className="wrap-anywhere font-medium text-ink">
          <KeyName {...apiKey} />
        </strong>{' '}
        are refused until you enable the key again.
      </p>
      <InUseWarning apiKey={apiKey} />
    </ConfirmKeyDialog>
  )
}
