import type { KeyWithUsage } from '@keymeter/contract'
import { useMutation } from '@tanstack/react-query'
import { describeCallError } from '../app/call-error.ts'
import { queryClient, trpc } from '../app/trpc.ts'
import { formatRelative } from '../format.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { ErrorNotice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'

const RECENTLY_MS = 7 * 86_400_000

/** Never optimistic: a key counts as revoked when the server says so. */
export function RevokeKeyDialog({ apiKey, onClose }: { apiKey: KeyWithUsage | null; onClose: () => void }) {
  const revoke = useMutation(
    trpc.keys.revoke.mutationOptions({
      onSuccess: async ({ name }) => {
        await queryClient.invalidateQueries()
        announce(`The key ${name} is revoked.`)
        onClose()
      },
    }),
  )
  const cancel = () => {
    if (revoke.isPending) return
    revoke.reset()
    onClose()
  }
  return (
    <AlertDialog
      title="Revoke key"
      isOpen={apiKey !== null}
      onCancel={cancel}
      finalFocus={() => (revoke.isSuccess ? document.getElementById('keys') : true)}
      action={
        <Button variant="danger" isPending={revoke.isPending} onClick={() => apiKey && revoke.mutate({ id: apiKey.id })}>
          Revoke
        </Button>
      }
    >
      <p>
        Calls with <strong className="break-words font-medium text-ink">{apiKey?.name}</strong> stop working at once. This
        cannot be undone.
      </p>
      {apiKey !== null && apiKey.lastUsedAt !== null && Date.now() - Date.parse(apiKey.lastUsedAt) < RECENTLY_MS && (
        <p className="font-medium text-danger">This key is in use: it was last used {formatRelative(apiKey.lastUsedAt)}.</p>
      )}
      {revoke.isError && <ErrorNotice error={describeCallError(revoke.error)} />}
    </AlertDialog>
  )
}
