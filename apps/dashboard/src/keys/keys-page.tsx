import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { useEffect, useState } from 'react'
import { describeCallError } from '../app/call-error.ts'
import { trpc } from '../app/trpc.ts'
import { provision, provisionOnce, useProvisioning } from '../auth/provisioning.ts'
import { signOut, useSession } from '../auth/session.ts'
import { AccountCard } from '../billing/account-card.tsx'
import { Button } from '../ui/button.tsx'
import { ErrorNotice } from '../ui/notice.tsx'
import { CreateKeyDialog } from './create-key-dialog.tsx'
import { KeyTable, KeyTableSkeleton } from './key-table.tsx'

/** Spending shows by itself, this soon. */
const REFRESH_INTERVAL_MS = 10_000

export function KeysPage() {
  const user = useSession()?.user
  const userId = user?.id
  useEffect(() => {
    if (userId !== undefined) provisionOnce(userId)
  }, [userId])
  return (
    <>
      <title>API keys · Keymeter</title>
      <header className="border-b border-line bg-surface">
        <div className="mx-auto flex max-w-5xl items-center gap-3 px-4 py-3">
          <img src="/favicon.svg" alt="" className="size-7" />
          <span className="font-semibold tracking-tight">Keymeter</span>
          <span className="ml-auto min-w-0 truncate text-sm text-ink-soft">{user?.email}</span>
          <Button variant="quiet" className="shrink-0" onClick={signOut}>
            Sign out
          </Button>
        </div>
      </header>
      <main className="mx-auto grid max-w-5xl gap-6 px-4 py-8">
        {userId !== undefined && <ProvisioningFault userId={userId} />}
        <AccountCard refreshIntervalMs={REFRESH_INTERVAL_MS} />
        <Keys />
      </main>
    </>
  )
}

function ProvisioningFault({ userId }: { userId: string }) {
  const provisioning = useProvisioning()
  if (provisioning.state !== 'failed') return null
  const { error } = provisioning
  return (
    <ErrorNotice error={{ ...error, message: `Your account could not be set up yet. ${error.message}` }}>
      <Button variant="secondary" onClick={() => provision(userId)}>
        Retry
      </Button>
    </ErrorNotice>
  )
}

function Keys() {
  const [isCreating, setIsCreating] = useState(false)
  const isProvisioning = useProvisioning().state === 'running'
  const usage = useQuery(trpc.keys.usage.queryOptions(undefined, { refetchInterval: REFRESH_INTERVAL_MS }))
  const keys = usage.data?.data
  return (
    <section aria-labelledby="keys" className="grid gap-4">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h1 id="keys" tabIndex={-1} className="text-xl font-semibold outline-none">
          API keys
        </h1>
        <Button onClick={() => setIsCreating(true)}>
          <Plus className="size-4" aria-hidden="true" />
          Create key
        </Button>
      </div>
      {usage.isError && (
        <ErrorNotice error={describeCallError(usage.error)}>
          <Button variant="secondary" onClick={() => usage.refetch()}>
            Retry
          </Button>
        </ErrorNotice>
      )}
      {keys === undefined || (keys.length === 0 && isProvisioning) ? (
        usage.isError || <KeyTableSkeleton />
      ) : keys.length === 0 ? (
        <p className="rounded-2xl border border-line border-dashed px-6 py-12 text-center text-ink-soft">
          You have no live keys. Create one to call the API.
        </p>
      ) : (
        <KeyTable keys={keys} />
      )}
      <CreateKeyDialog isOpen={isCreating} onClose={() => setIsCreating(false)} />
    </section>
  )
}
