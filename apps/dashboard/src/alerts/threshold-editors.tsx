import {
  ALERT_THRESHOLD_PERCENT_MAX,
  ALERT_THRESHOLDS_MAX,
  AlertsCreditsLeft,
  AlertThresholds,
  type BillingAccount,
  type SetAlertThresholds,
} from '@keymeter/contract'
import { useState } from 'react'
import { currentAccountId, useMay } from '../account/current-account.ts'
import { api, queryClient, trpc } from '../call/trpc.ts'
import { countCredits } from '../ui/format.ts'
import { ThresholdEditor, type ThresholdKind } from './threshold-editor.tsx'
import { CreditsLeftForm, PercentForm } from './threshold-form.ts'

interface ThresholdEditorsProps {
  thresholds: number[]
  creditsLeft: number[]
  /** The account is not loaded yet if it is undefined. */
  account: Pick<BillingAccount, 'plan' | 'creditsPerCycle'> | undefined
}

/** Shows one editor for each kind of thresholds. The first one is the one that fits the plan. */
export function ThresholdEditors({ thresholds, creditsLeft, account }: ThresholdEditorsProps) {
  const [isSaving, setIsSaving] = useState(false)
  const maySave = useMay('alerts.setThresholds')
  const save = async (input: SetAlertThresholds) => {
    setIsSaving(true)
    try {
      await saveThresholds(input)
    } finally {
      setIsSaving(false)
    }
  }
  const percent = (
    <ThresholdEditor
      key="percent"
      kind={{ ...PERCENT, explanation: explainPercent(account) }}
      thresholds={thresholds}
      isSaving={isSaving}
      maySave={maySave}
      save={async (next) => await save({ thresholds: next })}
    />
  )
  const left = (
    <ThresholdEditor
      key="left"
      kind={CREDITS_LEFT}
      thresholds={creditsLeft}
      isSaving={isSaving}
      maySave={maySave}
      save={async (next) => await save({ creditsLeft: next })}
    />
  )
  return (
    <div className="grid divide-line border-line border-b max-md:divide-y md:grid-cols-2 md:divide-x">
      {account?.creditsPerCycle === 0 ? [left, percent] : [percent, left]}
    </div>
  )
}

const PERCENT: Omit<ThresholdKind, 'explanation'> = {
  title: 'Share of the plan used',
  fieldLabel: 'Add a percentage',
  unit: '%',
  hint: `1 to ${ALERT_THRESHOLD_PERCENT_MAX}. At most ${ALERT_THRESHOLDS_MAX} thresholds.`,
  form: PercentForm,
  list: AlertThresholds,
  format: (threshold) => `${threshold}%`,
}

function explainPercent(account: ThresholdEditorsProps['account']): string {
  if (account === undefined) return 'In percent of the credits that the plan grants per cycle.'
  const { plan, creditsPerCycle } = account
  return creditsPerCycle === 0
    ? `The plan ${plan} grants no credits, so no percentage applies now.`
    : `In percent of the ${countCredits(creditsPerCycle)} that the plan ${plan} grants per cycle.`
}

const CREDITS_LEFT: ThresholdKind = {
  title: 'Credits left',
  explanation: 'Top-ups and held credits count as left. A refused charge that asks for more than is left counts as 0 left.',
  fieldLabel: 'Add a number of credits',
  unit: 'credits',
  hint: `0 or more. At most ${ALERT_THRESHOLDS_MAX} thresholds.`,
  form: CreditsLeftForm,
  list: AlertsCreditsLeft,
  format: countCredits,
}

async function saveThresholds(input: SetAlertThresholds): Promise<void> {
  const account = currentAccountId()
  const { thresholds, creditsLeft } = await api.alerts.setThresholds.mutate(input)
  // The page shows another account by now, and the answer does not belong to it.
  if (account !== currentAccountId()) return
  // Cancel running queries, because they can return the previous thresholds.
  await queryClient.cancelQueries(trpc.alerts.list.queryFilter())
  queryClient.setQueryData(trpc.alerts.list.queryKey(), (now) => now && { ...now, thresholds, creditsLeft })
}
