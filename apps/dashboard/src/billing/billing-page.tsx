import { Alerts } from '../alerts/alerts.tsx'
import { AccountCard } from './account-card.tsx'
import { Ledger } from './ledger.tsx'

export function BillingPage() {
  return (
    <>
      <title>Billing · Keymeter</title>
      <h1 className="text-xl font-semibold">Billing</h1>
      <AccountCard />
      <Ledger />
      <Alerts />
    </>
  )
}
