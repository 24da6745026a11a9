import { type FormEvent, useState } from 'react'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { currentSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { chooseAccount } from './current-account.ts'
import { showSecret } from './new-secret.ts'
import { readAccounts } from './read-accounts.ts'

/** A button that opens an account for a person who owns none. The page then shows this account, and the secret of its first key. */
export function OpenAccount({ label, className = '' }: { label: string; className?: string }) {
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
      chooseAccount(account.id)
    } catch (error) {
      setFault(describeCallError(error))
    }
    setIsPending(false)
  }
  return (
    <form onSubmit={open} className={`grid gap-4 ${className}`}>
      {fault !== null && <ErrorNotice error={fault} />}
      <Button type="submit" isPending={isPending}>
        {label}
      </Button>
    </form>
  )
}
