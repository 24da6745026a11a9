import { api } from '../call/trpc.ts'
import { formatRelative } from '../ui/format.ts'
import { ConfirmKeyDialog } from './confirm-key-dialog.tsx'
import type { KeyDialogProps } from './key-dialog.ts'

const RECENTLY_MS = 7 * 86_400_000

export function RevokeKeyDialog({ apiKey, ...dialog }: KeyDialogProps) {
  return (
    <ConfirmKeyDialog
      {...dialog}
      title="Revoke key"
      actionLabel="Revoke"
      doneText={`The key ${apiKey.name} is revoked.`}
      call={() => api.keys.revoke.mutate({ id: apiKey.id })}
    >
      <p>
        Calls with <strong className="break-words font-medium text-ink">{apiKey.name}</strong> stop working immediately. This
        cannot be undone.
      </p>
      {apiKey.lastUsedAt !== null && Date.now() - Date.parse(apiKey.lastUsedAt) < RECENTLY_MS && (
        <p className="font-medium text-danger">This key is in use: it was last used {formatRelative(apiKey.lastUsedAt)}.</p>
      )}
    </ConfirmKeyDialog>
  )
}
