import type { AlertKind } from '@keymeter/contract'

/** Something that matters for the alerts of an account, with the state of the account after it. */
export type AlertEvent = {
  /** The index of the billing cycle. */
  cycle: number
  plan: string
  granted: number
  /** granted + top-ups - used. Held credits are left. */
  left: number
  /** Percentages of the plan’s credits, and numbers of credits left. Null means that the customer never set the numbers. */
  thresholds: readonly number[]
  creditsLeft: readonly number[] | null
} /** `more credits` is everything that raises what is left: a top-up, a refund, or the end of a hold of an ended cycle. */ & (
  | { what: 'new plan' | 'more credits' | 'take-back' }
  /** A request for credits that the account could not pay. */
  | { what: 'refusal'; asked: number }
  /** A charge or a settle. `used` is the usage of the cycle. It is null if the event does not add to this usage. */
  | { what: 'spent'; used: number | null }
)

export interface ExpectedAlert {
  kind: AlertKind
  threshold: number
  cycle: number
  plan: string
  granted: number
}

/**
 * Recomputes all alerts of an account from its whole history. For each event, this function looks back at all earlier events, so
 * it needs neither alert periods nor a stored next threshold, and it shares no idea with the database.
 */
export function alertsOf(history: readonly AlertEvent[]): ExpectedAlert[] {
  const alerts: (ExpectedAlert & { at: number })[] = []
  for (const [at, event] of history.entries()) {
    for (const { kind, threshold } of reachedBy(event)) {
      const last = alerts.findLast(
        (alert) => alert.kind === kind && alert.threshold === threshold && alert.cycle === event.cycle,
      )
      const canFireAgain = history
        .slice((last?.at ?? 0) + 1, at)
        .some(({ what, left }) =>
          kind === 'percent' ? what === 'new plan' : (what === 'new plan' || what === 'more credits') && left > threshold,
        )
      if (last === undefined || canFireAgain)
        alerts.push({ at, kind, threshold, cycle: event.cycle, plan: event.plan, granted: event.granted })
    }
  }
  return alerts.map(({ at: _, ...alert }) => alert)
}

/** Returns the thresholds of credits left that apply to the account. */
export function creditsLeftOf({ creditsLeft, granted }: Pick<AlertEvent, 'creditsLeft' | 'granted'>): readonly number[] {
  return creditsLeft ?? (granted === 0 ? [100, 0] : [])
}

function reachedBy(event: AlertEvent): { kind: AlertKind; threshold: number }[] {
  const { thresholds, granted, left } = event
  const used = event.what === 'spent' ? event.used : null
  return [
    ...thresholds
      .filter((percent) => granted > 0 && used !== null && used / granted >= percent / 100)
      .map((threshold) => ({ kind: 'percent' as const, threshold })),
    ...creditsLeftOf(event)
      .filter(
        (credits) =>
          (['spent', 'refusal', 'take-back'].includes(event.what) && left <= credits) ||
          (event.what === 'refusal' && event.asked > left && credits === 0),
      )
      .map((threshold) => ({ kind: 'credits_left' as const, threshold })),
  ]
}
