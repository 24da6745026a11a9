import { Meter } from '@base-ui/react/meter'
import type { BillingAccount, FreeCreditsRefusal } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { useProvisioning } from '../account/provisioning.ts'
import { QueryFault } from '../call/query-fault.tsx'
import { REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { countCredits, creditNoun, formatCredits, formatMomentUtc, formatRelative } from '../ui/format.ts'
import { MomentUtc } from '../ui/moment.tsx'
import { Notice } from '../ui/notice.tsx'

/** Shows the current billing cycle: credits granted, used, held and left, and when the next cycle starts. */
export function AccountCard() {
  const billing = useQuery(trpc.billing.get.queryOptions(undefined, { refetchInterval: REFRESH_INTERVAL_MS }))
  const account = billing.data?.account
  const isFailed = useProvisioning().state === 'failed'
  return (
    <>
      <QueryFault query={billing} />
      {account ? (
        <section aria-label="Billing account" className="rounded-2xl border border-line bg-surface p-6">
          <Account account={account} />
        </section>
      ) : (
        // If provisioning failed, the page already shows an error. The card then shows no placeholder.
        billing.isError ||
        isFailed || <div role="status" aria-label="Loading your account" className="h-36 rounded-2xl bg-raised" />
      )}
    </>
  )
}

const NO_FREE_CREDITS = {
  mailbox_used:
    'This account gets no free credits, because another account of this mailbox has already had them. Addresses like name+tag@… belong to the same mailbox.',
  not_confirmed: 'This account gets no free credits yet: confirm your e-mail address, then reload this page.',
  not_offered: 'This account gets no free credits: ask the operator for credits.',
} satisfies Record<FreeCreditsRefusal, string>

function Account({ account }: { account: BillingAccount }) {
  const { plan, nextPlan, creditsPerCycle, freeCreditsRefusal, topUps, creditsUsed, creditsHeld, creditsRemaining } = account
  const { suspendedAt, billingCycle } = account
  // A plan can have 0 credits. The maximum of the meter on the card must be larger than 0.
  const most = Math.max(1, creditsPerCycle + topUps)
  const parts = [
    ...(creditsPerCycle > 0 || topUps === 0 ? [formatCredits(creditsPerCycle)] : []),
    ...(topUps > 0 ? [`${formatCredits(topUps)} top-up`] : []),
  ]
  const granted = `${parts.join(' + ')} ${creditNoun(creditsPerCycle + topUps)}`
  const held = creditsHeld > 0 && `${formatCredits(creditsHeld)} held`
  return (
    <div className="grid gap-4">
      {suspendedAt !== null && (
        <Notice tone="danger">
          This account has been suspended since <MomentUtc iso={suspendedAt} />: every charge is refused until it is resumed.
        </Notice>
      )}
      {freeCreditsRefusal !== null && <Notice>{NO_FREE_CREDITS[freeCreditsRefusal]}</Notice>}
      {creditsRemaining === 0 && suspendedAt === null && (
        <Notice tone="danger">
          {creditsHeld > 0
            ? `All that is left, ${countCredits(creditsHeld)}, is held: charges are refused until a hold is released, expires, or is settled for fewer credits.`
            : 'No credits are left: charges are refused.'}
          {/* A planned change is to a plan with fewer credits, perhaps 0. The page does not know how many. */}
          {creditsPerCycle > 0 && (
            <>
              {' '}
              {nextPlan === null ? 'The plan grants new credits' : `The plan changes to ${nextPlan}`} on{' '}
              <MomentUtc iso={billingCycle.end} />.
            </>
          )}
        </Notice>
      )}
      <div className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1">
        <h2 className="font-semibold">
          <span className="capitalize">{plan}</span> plan
        </h2>
        <p className="text-sm text-ink-soft">
          {creditsPerCycle > 0 ? 'Resets' : 'Next cycle starts'} <MomentUtc iso={billingCycle.end} /> (
          {formatRelative(billingCycle.end)})
        </p>
      </div>
      <Meter.Root
        value={Math.min(creditsUsed, most)}
        max={most}
        aria-valuetext={`${formatCredits(creditsUsed)} of ${granted} used${held && `, ${held}`}`}
        className="grid gap-2"
      >
        <Meter.Label className="figures flex flex-wrap items-baseline gap-x-2">
          <span className="text-3xl font-semibold">{formatCredits(creditsUsed)}</span>
          <span className="text-ink-soft">of {granted} used this cycle</span>
        </Meter.Label>
        <Meter.Track className="flex h-2.5 overflow-hidden rounded-full bg-raised">
          <Meter.Indicator className="h-full shrink-0 bg-accent-fill motion-safe:transition-all" />
          <div style={{ width: `${(creditsHeld / most) * 100}%` }} className="bg-accent-fill/40 motion-safe:transition-all" />
        </Meter.Track>
      </Meter.Root>
      <p className="figures text-sm text-ink-soft">
        <span className="font-medium text-ink">{formatCredits(creditsRemaining)} left</span>
        {held && ` · ${held}`} · since {formatMomentUtc(billingCycle.start)}
        {nextPlan !== null && (
          <>
            {' '}
            · changes to <span className="font-medium text-ink">{nextPlan}</span> on <MomentUtc iso={billingCycle.end} />
          </>
        )}
      </p>
    </div>
  )
}
