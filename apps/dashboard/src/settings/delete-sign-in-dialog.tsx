import { type AccountToDelete, DELETION_WORD, deletionTextOf } from '@keymeter/contract'
import { signOut } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { DeletionConsequences } from './deletion-consequences.tsx'
import { TypedConfirmation } from './typed-confirmation.tsx'

interface DeleteSignInDialogProps {
  /** Null if the person signs in without an address. */
  email: string | null
  accounts: AccountToDelete[]
  canDeleteSignIn: boolean
  isOpen: boolean
  onClose: () => void
}

export function DeleteSignInDialog({ email, accounts, canDeleteSignIn, isOpen, onClose }: DeleteSignInDialogProps) {
  const deleteSignIn = async (confirmation: string) => {
    // These are the accounts that the dialog shows. If another one has lost its other owners since, the server refuses the call.
    const closedAccounts = accounts.filter(({ isLastOwner }) => isLastOwner).map(({ id }) => id)
    const { isSignInDeleted } = await api.auth.deleteMe.mutate({ confirmation, closedAccounts })
    announce(
      isSignInDeleted
        ? 'Your sign-in is deleted.'
        : 'You are a member of no account any more. Ask the operator to delete your sign-in.',
    )
    await signOut()
  }
  return (
    <TypedConfirmation
      title="Delete your sign-in?"
      wanted={email || DELETION_WORD}
      actionLabel="Delete sign-in"
      isOpen={isOpen}
      onClose={onClose}
      call={deleteSignIn}
    >
      {accounts.length === 0 && <p>You are a member of no account.</p>}
      {accounts.map((account) => (
        <div key={account.id} className="grid gap-1">
          <p className="font-medium text-ink">
            The account <UserText>{deletionTextOf(account)}</UserText>{' '}
            {account.isLastOwner ? 'is deleted, because nobody else owns it:' : 'stays, and you leave it.'}
          </p>
          {account.isLastOwner && <DeletionConsequences account={account} />}
        </div>
      ))}
      <p>
        {canDeleteSignIn
          ? 'After that, you can no longer sign in with this address.'
          : 'The operator must then delete your sign-in itself: ask for it.'}
      </p>
    </TypedConfirmation>
  )
}
