import { z } from 'zod'
import { Credits, Output, Timestamp } from './output.ts'

export const ALERT_THRESHOLDS_MAX = 10
export const ALERT_THRESHOLD_PERCENT_MAX = 1000

const THRESHOLD_FAULT = `Enter a whole number from 1 to ${ALERT_THRESHOLD_PERCENT_MAX}.`
/** Percent of the credits that the plan grants for a cycle. Accounts with top-ups can use more than 100 percent. */
export const AlertThreshold = z.int(THRESHOLD_FAULT).min(1, THRESHOLD_FAULT).max(ALERT_THRESHOLD_PERCENT_MAX, THRESHOLD_FAULT)

/** Different thresholds, in any order. An empty list disables alerts. */
export const AlertThresholds = z
  .array(AlertThreshold)
  .max(ALERT_THRESHOLDS_MAX, `Have at most ${ALERT_THRESHOLDS_MAX} thresholds.`)
  .refine((thresholds) => new Set(thresholds).size === thresholds.length, 'Name each threshold once.')

/** A threshold that the usage of a cycle reached. It is recorded once a cycle, in the transaction of the charge. */
export const Alert = z.object({
  threshold: AlertThreshold,
  at: Timestamp,
  cycleStart: Timestamp,
  /** At that moment. */
  creditsUsed: Credits,
  creditsPerCycle: Credits,
})
export type Alert = z.infer<typeof Alert>

/** The last 130 alerts, newest first, and the current thresholds in ascending order. */
export const AlertsOutput = Output.extend({ thresholds: z.array(AlertThreshold), data: z.array(Alert) })

export const SetAlertThresholds = z.strictObject({ thresholds: AlertThresholds })
export const AlertThresholdsOutput = Output.extend({ thresholds: z.array(AlertThreshold) })
