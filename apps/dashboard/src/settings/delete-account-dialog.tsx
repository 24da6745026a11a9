import { type AccountToDelete, deletionTextOf } from '@keymeter/contract'
import { signOut } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { announce } from '../ui/toasts.tsx'
import { DeletionConsequences } from './deletion-consequences.tsx'
import { TypedConfirmation } from './typed-confirmation.tsx'

interface DeleteAccountDialogProps {
  account: AccountToDelete
  isOpen: boolean
  onClose: () => void
}

export function DeleteAccountDialog({ account, isOpen, onClose }: DeleteAccountDialogProps) {
  const deleteAccount = async (confirmation: string) => {
    await api.accounts.close.mutate({ confirmation })
    announce('The account is deleted.')
    await signOut()
  }
  return (
    <TypedConfirmation
      title="Delete this account?"
      wanted={deletionTextOf(account)}
      actionLabel="Delete account"
      isOpen={isOpen}
      onClose={onClose}
      call={deleteAccount}
    >
      <DeletionConsequences account={account} />
      <p>
        The operator keeps the usage, the credits and the activity of the account until they are erased. Download your data
        first if you need it. You are signed out, and your sign-in stays.
      </p>
    </TypedConfirmation>
  )
}
