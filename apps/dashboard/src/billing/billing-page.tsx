import { Alerts } from '../alerts/alerts.tsx'
import { AccountCard } from './account-card.tsx'
import { Ledger } from './ledger.tsx'

const REFRESH_INTERVAL_MS = 10_000

export function BillingPage() {
  return (
    <>
      <title>Billing · Keymeter</title>
      <h1 className="text-xl font-semibold">Billing</h1>
      <AccountCard refreshIntervalMs={REFRESH_INTERVAL_MS} />
      <Ledger refreshIntervalMs={REFRESH_INTERVAL_MS} />
      <Alerts refreshIntervalMs={REFRESH_INTERVAL_MS} />
    </>
  )
}
