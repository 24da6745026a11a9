import type { AccountToDelete } from '@keymeter/contract'
import type { User } from '@supabase/auth-js'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useCurrentAccountId } from '../account/current-account.ts'
import { QueryFault } from '../call/query-fault.tsx'
import { trpc } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { DeleteAccountDialog } from './delete-account-dialog.tsx'
import { DeleteSignInDialog } from './delete-sign-in-dialog.tsx'
import { Section } from './section.tsx'

/**
 * A dialog keeps the accounts that it showed when it was opened. After a lost answer, the deleted account is no longer in the list, and
 * the user can still repeat the call.
 */
type Open = { dialog: 'account'; account: AccountToDelete } | { dialog: 'sign-in'; accounts: AccountToDelete[] }

/** Offers to delete the account, and to delete the sign-in together with the accounts that nobody else owns. */
export function DeleteSection({ user }: { user: User }) {
  const [open, setOpen] = useState<Open | null>(null)
  const deletion = useQuery(trpc.accounts.getDeletion.queryOptions())
  const accounts = deletion.data?.data ?? []
  const currentId = useCurrentAccountId()
  const account = accounts.find(({ id }) => id === currentId)
  const close = () => {
    setOpen(null)
    // What the dialog shows has perhaps changed.
    void deletion.refetch()
  }
  return (
    <Section title="Delete">
      <p className="text-sm text-ink-soft">
        {account?.role === 'owner' && 'You can delete this account. '}
        You can delete your sign-in, together with the accounts that nobody else owns. The API keys of a deleted account stop
        working immediately, and nobody can undo a deletion.
      </p>
      <QueryFault query={deletion} />
      {deletion.data !== undefined && (
        <div className="flex flex-wrap gap-2">
          {account?.role === 'owner' && (
            <Button variant="danger" onClick={() => setOpen({ dialog: 'account', account })}>
              Delete account…
            </Button>
          )}
          <Button variant="danger" onClick={() => setOpen({ dialog: 'sign-in', accounts })}>
            Delete sign-in…
          </Button>
        </div>
      )}
      {open?.dialog === 'account' && <DeleteAccountDialog account={open.account} isOpen onClose={close} />}
      {open?.dialog === 'sign-in' && (
        <DeleteSignInDialog
          email={user.email ?? null}
          accounts={open.accounts}
          canDeleteSignIn={deletion.data?.canDeleteSignIn === true}
          isOpen
          onClose={close}
        />
      )}
    </Section>
  )
}
