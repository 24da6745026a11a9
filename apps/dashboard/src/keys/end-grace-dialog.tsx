import { api } from '../call/trpc.ts'
import { formatMoment } from '../ui/format.ts'
import { ConfirmKeyDialog } from './confirm-key-dialog.tsx'
import type { KeyDialogProps } from './key-dialog.ts'

export function EndGraceDialog({ apiKey, ...dialog }: KeyDialogProps) {
  return (
    <ConfirmKeyDialog
      {...dialog}
      title="End the old secret now?"
      actionLabel="End now"
      doneText={`The old secret of ${apiKey.name} has ended.`}
      call={() => api.keys.endGrace.mutate({ id: apiKey.id })}
    >
      <p>
        Calls with the old secret of <strong className="break-words font-medium text-ink">{apiKey.name}</strong> stop working
        immediately{apiKey.graceEndsAt !== null && `, instead of ${formatMoment(apiKey.graceEndsAt)}`}. The new secret keeps
        working.
      </p>
    </ConfirmKeyDialog>
  )
}
