import { RenameAccount } from '@keymeter/contract'
import { z } from 'zod'
import { AccountName } from '../account/account-name.tsx'
import { useCurrentAccount, useMay } from '../account/current-account.ts'
import { readAccounts } from '../account/read-accounts.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { announce } from '../ui/toasts.tsx'

/** An empty text means that the account has no name. */
const NameForm = z.object({
  name: z
    .string()
    .transform((text) => (text.trim() === '' ? null : text))
    .pipe(RenameAccount.shape.name),
})

/** Shows the name of the account. Owners and admins can change it. */
export function AccountNameForm() {
  const account = useCurrentAccount()
  const mayRename = useMay('accounts.rename')
  if (account === undefined) return null
  if (mayRename) return <RenameForm key={account.name} name={account.name} />
  return (
    <p className="text-sm">
      Account: <AccountName account={account} />
    </p>
  )
}

function RenameForm({ name }: { name: string | null }) {
  const { register, submit, errors, formState, fault } = useCallForm(NameForm, { name: name ?? '' })
  const rename = submit(async (input) => {
    await api.accounts.rename.mutate(input)
    announce(input.name === null ? 'The account has no name any more.' : 'The account is renamed.')
    await readAccounts()
  })
  return (
    <form noValidate onSubmit={rename} className="grid max-w-lg gap-3">
      {fault !== null && <ErrorNotice error={fault} />}
      <div className="flex items-start gap-2">
        <div className="min-w-0 flex-1">
          <TextField
            label="Name of the account"
            autoComplete="off"
            dir="auto"
            hint="Members and invited people see it. Without a name, they see the address of the owner."
            error={errors.name?.message}
            {...register('name')}
          />
        </div>
        {/* The margin is as high as the label of the field, so the button is at the same height as the input. */}
        <Button type="submit" variant="secondary" className="mt-6.5" isPending={formState.isSubmitting}>
          Save
        </Button>
      </div>
    </form>
  )
}
