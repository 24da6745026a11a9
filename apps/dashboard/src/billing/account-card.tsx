import { Meter } from '@base-ui/react/meter'
import type { BillingAccount } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { describeCallError } from '../app/call-error.ts'
import { trpc } from '../app/trpc.ts'
import { useProvisioning } from '../auth/provisioning.ts'
import { formatCredits, formatMoment, formatMomentUtc, formatRelative } from '../format.ts'
import { Button } from '../ui/button.tsx'
import { ErrorNotice } from '../ui/notice.tsx'

/** The billing account: what the plan gives, what is used of it, when it starts anew. */
export function AccountCard({ refreshIntervalMs }: { refreshIntervalMs: number }) {
  const billing = useQuery(trpc.billing.get.queryOptions(undefined, { refetchInterval: refreshIntervalMs }))
  const account = billing.data?.account
  const isFailed = useProvisioning().state === 'failed'
  if (account === undefined && billing.isError) {
    return (
      <ErrorNotice error={describeCallError(billing.error)}>
        <Button variant="secondary" onClick={() => billing.refetch()}>
          Retry
        </Button>
      </ErrorNotice>
    )
  }
  // The page says so already.
  if (!account && isFailed) return null
  return (
    <section aria-label="Billing account" className="rounded-2xl border border-line bg-surface p-6">
      {account ? <Account account={account} /> : <div className="h-24 motion-safe:animate-pulse rounded-lg bg-raised" />}
    </section>
  )
}

function Account({ account: { plan, creditsPerCycle, creditsUsed, billingCycle } }: { account: BillingAccount }) {
  const remaining = Math.max(0, creditsPerCycle - creditsUsed)
  return (
    <div className="grid gap-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1">
        <h2 className="font-semibold">
          <span className="capitalize">{plan}</span> plan
        </h2>
        <p className="text-sm text-ink-soft">
          Resets{' '}
          <time dateTime={billingCycle.end} title={`${formatMoment(billingCycle.end)}, your time`}>
            {formatMomentUtc(billingCycle.end)}
          </time>{' '}
          ({formatRelative(billingCycle.end)})
        </p>
      </div>
      <Meter.Root
        value={Math.min(creditsUsed, creditsPerCycle)}
        max={creditsPerCycle}
        aria-valuetext={`${formatCredits(creditsUsed)} of ${formatCredits(creditsPerCycle)} credits used`}
        className="grid gap-2"
      >
        <Meter.Label className="figures flex flex-wrap items-baseline gap-x-2">
          <span className="text-3xl font-semibold">{formatCredits(creditsUsed)}</span>
          <span className="text-ink-soft">of {formatCredits(creditsPerCycle)} credits used this cycle</span>
        </Meter.Label>
        <Meter.Track className="h-2.5 overflow-hidden rounded-full bg-raised">
          <Meter.Indicator className="h-full rounded-full bg-accent-fill motion-safe:transition-all" />
        </Meter.Track>
      </Meter.Root>
      <p className="figures text-sm text-ink-soft">
        {formatCredits(remaining)} left · since {formatMomentUtc(billingCycle.start)}
      </p>
    </div>
  )
}
