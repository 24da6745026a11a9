import { type FormEvent, useState } from 'react'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { currentSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { showSecret } from './new-secret.ts'
import { readAccounts } from './read-accounts.ts'

/** The page of a person who is a member of no account, e.g. because they left or closed the last one. */
export function NoAccount() {
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const open = async (event: FormEvent) => {
    event.preventDefault()
    const userId = currentSession()?.user.id
    if (isPending || userId === undefined) return
    setIsPending(true)
    setFault(null)
    try {
      const { account, defaultKey } = await api.accounts.open.mutate()
      if (defaultKey !== null) showSecret(userId, account.id, defaultKey)
      await readAccounts()
    } catch (error) {
      setFault(describeCallError(error))
      setIsPending(false)
    }
  }
  return (
    <form onSubmit={open} className="grid justify-items-center gap-4 py-16 text-center">
      <title>No account · Keymeter</title>
      <h1 className="text-xl font-semibold">You are not a member of any account</h1>
      <p className="max-w-md text-ink-soft">
        Open an account to create API keys. If somebody has invited you to their account, open the link of the invitation
        instead.
      </p>
      {fault !== null && <ErrorNotice error={fault} />}
      <Button type="submit" isPending={isPending}>
        Open an account
      </Button>
    </form>
  )
}
