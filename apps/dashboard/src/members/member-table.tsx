import { type Member, mayRemove, rolesToGive } from '@keymeter/contract'
import { useState } from 'react'
import { useRole } from '../account/current-account.ts'
import { useSession } from '../call/session.ts'
import { Moment } from '../ui/moment.tsx'
import { TextButton } from '../ui/text-button.tsx'
import { ChangeRoleDialog } from './change-role-dialog.tsx'
import { LeaveDialog } from './leave-dialog.tsx'
import type { MemberDialog } from './member-dialog.ts'
import { MemberName, memberNameText } from './member-name.tsx'
import { RemoveMemberDialog } from './remove-member-dialog.tsx'
import { ROLE_NAMES } from './role-texts.ts'
import { TransferDialog } from './transfer-dialog.tsx'

const DIALOGS = {
  role: ChangeRoleDialog,
  remove: RemoveMemberDialog,
  transfer: TransferDialog,
  leave: LeaveDialog,
} satisfies Record<MemberDialog, unknown>

export function MemberTable({ members }: { members: Member[] }) {
  /** The dialog stays in the state after it is closed, so that it can fade out. `opening` gives each opening fresh state. */
  const [dialog, setDialog] = useState<{ kind: MemberDialog; member: Member; isOpen: boolean; opening: number } | null>(null)
  const OpenDialog = dialog && DIALOGS[dialog.kind]
  const owners = members.filter(({ role }) => role === 'owner').length
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table className="w-full text-left text-sm">
        <thead className="border-b border-line text-ink-soft">
          <tr>
            <Heading>Member</Heading>
            <Heading>Role</Heading>
            <Heading className="hidden md:table-cell">Since</Heading>
            <Heading className="hidden text-right md:table-cell">Live keys</Heading>
            <Heading className="max-sm:hidden">
              <span className="sr-only">Actions</span>
            </Heading>
          </tr>
        </thead>
        <tbody>
          {members.map((member) => (
            <MemberRow
              key={member.id}
              member={member}
              isLastOwner={member.role === 'owner' && owners === 1}
              onDialog={(kind) => setDialog({ kind, member, isOpen: true, opening: (dialog?.opening ?? 0) + 1 })}
            />
          ))}
        </tbody>
      </table>
      {dialog && OpenDialog && (
        <OpenDialog
          key={dialog.opening}
          member={dialog.member}
          isOpen={dialog.isOpen}
          onClose={() => setDialog({ ...dialog, isOpen: false })}
        />
      )}
    </div>
  )
}

interface MemberRowProps {
  member: Member
  isLastOwner: boolean
  onDialog: (dialog: MemberDialog) => void
}

function MemberRow({ member, isLastOwner, onDialog }: MemberRowProps) {
  const role = useRole()
  const isSelf = useSession()?.user.id === member.id
  const name = memberNameText(member)
  const canChange = role !== null && !isLastOwner && rolesToGive(role, member.role).some((other) => other !== member.role)
  const canRemove = role !== null && !isSelf && mayRemove(role, member.role)
  const canTransfer = role === 'owner' && !isSelf && member.role !== 'owner'
  const actions = (
    <span className="flex flex-wrap gap-x-4 gap-y-1 sm:justify-end">
      {canChange && (
        <TextButton aria-label={`Change the role of ${name}`} onClick={() => onDialog('role')}>
          Change role
        </TextButton>
      )}
      {canTransfer && (
        <TextButton aria-label={`Make ${name} the owner instead of you`} onClick={() => onDialog('transfer')}>
          Transfer ownership
        </TextButton>
      )}
      {canRemove && (
        <TextButton aria-label={`Remove ${name}`} onClick={() => onDialog('remove')}>
          Remove
        </TextButton>
      )}
      {isSelf && !isLastOwner && <TextButton onClick={() => onDialog('leave')}>Leave this account</TextButton>}
    </span>
  )
  return (
    <tr className="border-line align-top not-last:border-b">
      <td className="w-full max-w-0 px-4 py-3">
        <span className="block truncate font-medium" title={name}>
          <MemberName email={member.email} />
          {isSelf && ' (you)'}
        </span>
        <span className="block text-xs text-ink-soft md:hidden">
          Since <Moment iso={member.createdAt} /> · {countKeys(member.liveKeys)}
        </span>
        {isSelf && isLastOwner && (
          <span className="block text-xs text-ink-soft">
            You are the only owner, so you cannot leave or change your role. Make another member an owner first.
          </span>
        )}
        <div className="pt-1 sm:hidden">{actions}</div>
      </td>
      <td className="px-4 py-3">{ROLE_NAMES[member.role]}</td>
      <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft md:table-cell">
        <Moment iso={member.createdAt} />
      </td>
      <td className="figures hidden px-4 py-3 text-right md:table-cell">{member.liveKeys}</td>
      <td className="whitespace-nowrap px-4 py-3 max-sm:hidden">{actions}</td>
    </tr>
  )
}

function countKeys(count: number): string {
  return count === 1 ? '1 live key' : `${count} live keys`
}

function Heading({ className = '', ...props }: React.ComponentProps<'th'>) {
  return <th scope="col" className={`whitespace-nowrap px-4 py-3 font-medium ${className}`} {...props} />
}
