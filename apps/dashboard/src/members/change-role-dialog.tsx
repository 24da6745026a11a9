import { rolesToGive } from '@keymeter/contract'
import { type FormEvent, useState } from 'react'
import { useRole } from '../account/current-account.ts'
import { readAccounts } from '../account/read-accounts.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { useSession } from '../call/session.ts'
import { api, queryClient, trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Choice } from '../ui/choice.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { announce } from '../ui/toasts.tsx'
import type { MemberDialogProps } from './member-dialog.ts'
import { MemberName } from './member-name.tsx'
import { ROLE_NAMES, ROLE_OPTIONS } from './role-texts.ts'

export function ChangeRoleDialog({ member, isOpen, onClose }: MemberDialogProps) {
  const ownRole = useRole()
  const isSelf = useSession()?.user.id === member.id
  const [role, setRole] = useState(member.role)
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const roles = ownRole === null ? [] : rolesToGive(ownRole, member.role)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (isPending) return
    setIsPending(true)
    setFault(null)
    try {
      await api.members.setRole.mutate({ memberId: member.id, role })
      announce(
        <>
          The role of <MemberName email={member.email} /> is now {ROLE_NAMES[role]}.
        </>,
      )
      onClose()
    } catch (error) {
      setFault(describeCallError(error))
    }
    // Another session may have changed the members, so read them again also after a refusal.
    await queryClient.invalidateQueries(trpc.members.pathFilter())
    if (isSelf) await readAccounts()
    setIsPending(false)
  }
  return (
    <Dialog title="Change role" isOpen={isOpen} onCloseRequest={onClose}>
      <form noValidate onSubmit={submit} className="grid gap-5">
        {fault !== null && <ErrorNotice error={fault} />}
        <p className="wrap-anywhere text-sm text-ink-soft">
          The new role of{' '}
          <strong className="font-medium text-ink">
            <MemberName email={member.email} />
          </strong>{' '}
          applies from the next call. {isSelf && 'This is you: afterwards, you perhaps cannot change it back.'}
        </p>
        <Choice
          label="Role"
          options={ROLE_OPTIONS.filter(({ value }) => roles.includes(value))}
          value={role}
          onChange={setRole}
        />
        <div className="flex justify-end gap-2">
          <Button variant="secondary" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" isPending={isPending}>
            Change role
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
