import type { Alert } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { QueryFault } from '../call/query-fault.tsx'
import { REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { formatCredits } from '../ui/format.ts'
import { MomentUtc } from '../ui/moment.tsx'
import { describeAlert } from './describe-alert.ts'
import { ThresholdEditors } from './threshold-editors.tsx'

/** The number of alerts that are always visible. The user can expand the older alerts. */
const NEWEST = 5

export function Alerts() {
  const alerts = useQuery(trpc.alerts.list.queryOptions(undefined, { refetchInterval: REFRESH_INTERVAL_MS }))
  const account = useQuery(trpc.billing.get.queryOptions()).data?.account ?? undefined
  return (
    <section aria-labelledby="alerts" className="grid gap-4">
      <div>
        <h2 id="alerts" className="text-lg font-semibold">
          Alerts
        </h2>
        <p className="text-sm text-ink-soft">
          You see an alert here when a charge reaches a threshold: once per billing cycle, and again after a change of your
          plan. After a top-up, numbers of credits left can be reached again.
        </p>
      </div>
      <QueryFault query={alerts} />
      {alerts.data === undefined ? (
        alerts.isError || <div role="status" aria-label="Loading the alerts" className="h-48 rounded-2xl bg-raised" />
      ) : (
        <div className="rounded-2xl border border-line bg-surface">
          <ThresholdEditors thresholds={alerts.data.thresholds} creditsLeft={alerts.data.creditsLeft} account={account} />
          <AlertList alerts={alerts.data.data} />
        </div>
      )}
    </section>
  )
}

function AlertList({ alerts }: { alerts: Alert[] }) {
  if (alerts.length === 0) return <p className="px-4 py-3 text-sm text-ink-soft sm:px-6">No threshold has been reached yet.</p>
  const older = alerts.slice(NEWEST)
  return (
    <>
      <ol aria-label="Alerts, newest first">{alerts.slice(0, NEWEST).map(alertItem)}</ol>
      {older.length > 0 && (
        <details>
          <summary className="min-h-10 cursor-pointer px-4 py-3 font-medium text-accent text-sm sm:px-6">
            {older.length} older
          </summary>
          <ol aria-label="Older alerts">{older.map(alertItem)}</ol>
        </details>
      )}
    </>
  )
}

function alertItem(alert: Alert) {
  const { kind, threshold, at, creditsUsed, creditsLeft } = alert
  return (
    <li
      key={`${at} ${kind} ${threshold} ${creditsUsed}`}
      className="figures flex flex-wrap items-baseline justify-between gap-x-4 border-line px-4 py-3 text-sm not-last:border-b sm:px-6"
    >
      <span className="wrap-anywhere font-medium">{describeAlert(alert)}</span>
      <span className="text-ink-soft">
        {formatCredits(creditsUsed)} used, {formatCredits(creditsLeft)} left · <MomentUtc iso={at} />
      </span>
    </li>
  )
}
