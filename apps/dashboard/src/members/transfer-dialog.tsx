import { type FormEvent, useState } from 'react'
import { readAccounts } from '../account/read-accounts.ts'
import { writtenAddress } from '../auth/written-address.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api, queryClient, trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { announce } from '../ui/toasts.tsx'
import { type MemberDialogProps, membersHeading } from './member-dialog.ts'
import { MemberName } from './member-name.tsx'

/** The word that confirms the transfer to a member whose address is unknown. */
const WORD = 'transfer'

/** Asks the owner to type the address of the next owner, because only the next owner can undo the transfer. */
export function TransferDialog({ member, isOpen, onClose }: MemberDialogProps) {
  const [typed, setTyped] = useState('')
  const [mismatch, setMismatch] = useState<string>()
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const expected = member.email === null ? WORD : writtenAddress(member.email)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (isPending) return
    if (typed.trim().toLowerCase() !== expected.toLowerCase()) return setMismatch(`Type ${expected}.`)
    setIsPending(true)
    setFault(null)
    try {
      await api.members.transferOwnership.mutate({ memberId: member.id })
      announce(
        <>
          <MemberName email={member.email} /> is now the owner, and you are an admin.
        </>,
      )
      onClose()
      membersHeading()?.focus()
    } catch (error) {
      setFault(describeCallError(error))
    }
    await queryClient.invalidateQueries(trpc.members.pathFilter())
    await readAccounts()
    setIsPending(false)
  }
  return (
    <Dialog title="Transfer ownership" isOpen={isOpen} onCloseRequest={onClose}>
      <form noValidate onSubmit={submit} className="grid gap-5">
        {fault !== null && <ErrorNotice error={fault} />}
        <p className="wrap-anywhere text-sm text-ink-soft">
          <strong className="font-medium text-ink">
            <MemberName email={member.email} />
          </strong>{' '}
          becomes an owner, and you become an admin. Only an owner can make you an owner again.
        </p>
        <TextField
          label={`Type ${expected} to confirm`}
          autoComplete="off"
          spellCheck={false}
          error={mismatch}
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value)
            setMismatch(undefined)
          }}
        />
        <div className="flex justify-end gap-2">
          <Button variant="secondary" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" variant="danger" isPending={isPending}>
            Transfer ownership
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
