import { api } from '../call/trpc.ts'
import { formatMoment } from '../ui/format.ts'
import { announce } from '../ui/toasts.tsx'
import { ConfirmKeyDialog } from './confirm-key-dialog.tsx'
import { InUseWarning } from './in-use-warning.tsx'
import type { KeyDialogProps } from './key-dialog.ts'
import { KeyName } from './key-name.tsx'

export function EndGraceDialog({ apiKey, ...dialog }: KeyDialogProps) {
  return (
    <ConfirmKeyDialog
      {...dialog}
      keyId={apiKey.id}
      title="End all previous secrets now?"
      actionLabel="End now"
      call={() => api.keys.endGrace.mutate({ id: apiKey.id })}
      onDone={() =>
        announce(
          <>
            The previous secrets of <KeyName {...apiKey} /> have ended.
          </>,
        )
      }
    >
      <p>
        Calls with any previous secret of{' '}
        <strong className="wrap-anywhere font-medium text-ink">
          <KeyName name={apiKey.name} />
        </strong>{' '}
        stop working immediately.
        {apiKey.graceEndsAt !== null && ` Otherwise, the last one would work until ${formatMoment(apiKey.graceEndsAt)}.`} The
        secret {apiKey.keyPrefix}… keeps working.
      </p>
      <InUseWarning apiKey={apiKey} />
    </ConfirmKeyDialog>
  )
}
