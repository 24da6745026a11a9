import { useMutation } from '@tanstack/react-query'
import { useCurrentAccount, useMay } from '../account/current-account.ts'
import { readAccounts } from '../account/read-accounts.ts'
import { describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { settings } from '../call/settings.ts'
import { api } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { announce } from '../ui/toasts.tsx'

/** Lets owners decide whether the members of the account need a second factor. */
export function SecondFactorRequirement() {
  const account = useCurrentAccount()
  const mayDecide = useMay('accounts.requireSecondFactor')
  const isRequired = account?.requiresSecondFactor === true
  const decision = useMutation({
    mutationFn: async (next: boolean) => {
      await api.accounts.requireSecondFactor.mutate({ isRequired: next })
      await readAccounts()
    },
    onSuccess: (_, next) => announce(next ? 'All members now need a second factor.' : 'A second factor is no longer required.'),
  })
  if (account === undefined || !mayDecide || !(settings.secondFactor || isRequired)) return null
  return (
    <section aria-label="Second factor" className="grid gap-3 text-sm">
      <p className="text-ink-soft">
        {isRequired
          ? 'All members need a second factor: the code of an authenticator app. Without it, they see nothing of this account.'
          : 'Members can use this account with their password only. If you require a second factor, members without an authenticator app see nothing of this account until they add one on their page Settings.'}
      </p>
      {decision.isError && <ErrorNotice error={describeCallError(decision.error)} />}
      <Button
        variant="secondary"
        className="justify-self-start"
        isPending={decision.isPending}
        onClick={() => decision.mutate(!isRequired)}
      >
        {isRequired ? 'No longer require a second factor' : 'Require a second factor'}
      </Button>
    </section>
  )
}
