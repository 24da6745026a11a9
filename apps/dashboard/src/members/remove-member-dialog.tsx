import { KEYS_PAGE_MAX, type KeyWithUsage } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useCurrentAccountId } from '../account/current-account.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { QueryFault } from '../call/query-fault.tsx'
import { api, onAccount, queryClient, trpc } from '../call/trpc.ts'
import { KeyName, keyNameText } from '../keys/key-name.tsx'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { Moment } from '../ui/moment.tsx'
import { TextButton } from '../ui/text-button.tsx'
import { announce } from '../ui/toasts.tsx'
import { type MemberDialogProps, membersHeading } from './member-dialog.ts'
import { MemberName } from './member-name.tsx'

/**
 * Removes a member, and offers to revoke the member's keys first. The member perhaps knows the secrets, and the keys also work without
 * the member.
 */
export function RemoveMemberDialog({ member, isOpen, onClose }: MemberDialogProps) {
  const accountId = useCurrentAccountId()
  const keys = useQuery(trpc.keys.list.queryOptions({ createdBy: member.id, limit: KEYS_PAGE_MAX }))
  const [fault, setFault] = useState<CallError | null>(null)
  const [busy, setBusy] = useState<'removing' | 'revoking' | null>(null)
  const [progress, setProgress] = useState('')
  const live = keys.data?.data ?? []

  const remove = async () => {
    if (busy !== null) return
    setBusy('removing')
    setFault(null)
    try {
      await api.members.remove.mutate({ memberId: member.id })
      announce(
        <>
          <MemberName email={member.email} /> is removed.
        </>,
      )
      onClose()
    } catch (error) {
      setFault(describeCallError(error))
    }
    await queryClient.invalidateQueries()
    setBusy(null)
  }

  /** Revokes one key after the other. After an error, the keys that are left stay in the list. */
  const revoke = async (chosen: KeyWithUsage[]) => {
    if (busy !== null) return
    setBusy('revoking')
    setFault(null)
    let done = 0
    try {
      for (const { id } of chosen) {
        setProgress(`Revoking key ${done + 1} of ${chosen.length}…`)
        await api.keys.revoke.mutate({ id }, onAccount(accountId))
        done++
      }
      setProgress(`${done === 1 ? '1 key is' : `${done} keys are`} revoked.`)
    } catch (error) {
      setProgress(`${done} of ${chosen.length} keys are revoked.`)
      setFault(describeCallError(error))
    }
    await queryClient.invalidateQueries()
    setBusy(null)
  }

  return (
    <AlertDialog
      title="Remove this member?"
      isOpen={isOpen}
      onCancel={() => busy === null && onClose()}
      finalFocus={() => membersHeading() ?? true}
      action={
        <Button variant="danger" isPending={busy === 'removing'} disabled={busy === 'revoking'} onClick={remove}>
          Remove
        </Button>
      }
    >
      <p className="wrap-anywhere">
        <strong className="font-medium text-ink">
          <MemberName email={member.email} />
        </strong>{' '}
        loses access to this account with the next call. The open invitations that this member has sent end too.
      </p>
      <QueryFault query={keys} />
      {keys.data !== undefined && live.length === 0 && <p>The member has no live keys.</p>}
      {live.length > 0 && (
        <>
          <p>
            {live.length === 1 ? 'This key of the member keeps' : `These ${live.length} keys of the member keep`} working until
            somebody revokes {live.length === 1 ? 'it' : 'them'}. The member perhaps still has the{' '}
            {live.length === 1 ? 'secret' : 'secrets'}.
          </p>
          <ul aria-label="Live keys of the member" className="max-h-56 overflow-y-auto rounded-lg border border-line">
            {live.map((key) => (
              <li key={key.id} className="flex items-center justify-between gap-3 border-line px-3 py-2 not-last:border-b">
                <span className="min-w-0">
                  <span className="block truncate text-ink">
                    <KeyName {...key} />
                  </span>
                  <span className="block text-xs">
                    {key.lastUsedAt === null ? (
                      'Never used'
                    ) : (
                      <>
                        Used <Moment iso={key.lastUsedAt} />
                      </>
                    )}
                  </span>
                </span>
                <TextButton
                  aria-label={`Revoke ${keyNameText(key)}`}
                  isPending={busy !== null}
                  onClick={() => void revoke([key])}
                >
                  Revoke
                </TextButton>
              </li>
            ))}
          </ul>
          {live.length > 1 && (
            <Button
              variant="secondary"
              isPending={busy === 'revoking'}
              disabled={busy !== null}
              onClick={() => void revoke(live)}
            >
              Revoke all {live.length} keys
            </Button>
          )}
        </>
      )}
      <p role="status" className="min-h-5">
        {progress}
      </p>
      {fault !== null && <ErrorNotice error={fault} />}
    </AlertDialog>
  )
}
