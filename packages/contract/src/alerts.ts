import { z } from 'zod'
import { Credits, Output, Timestamp } from './output.ts'

export const ALERT_THRESHOLDS_MAX = 10
export const ALERT_THRESHOLD_PERCENT_MAX = 1000

const THRESHOLD_FAULT = `Enter a whole number from 1 to ${ALERT_THRESHOLD_PERCENT_MAX}.`
/** A percentage of the credits that the plan grants for a cycle. It can exceed 100, because top-ups let an account use more. */
export const AlertThreshold = z.int(THRESHOLD_FAULT).min(1, THRESHOLD_FAULT).max(ALERT_THRESHOLD_PERCENT_MAX, THRESHOLD_FAULT)

/** A list of different thresholds, in any order. An empty list disables alerts. */
export const AlertThresholds = z
  .array(AlertThreshold)
  .max(ALERT_THRESHOLDS_MAX, `Have at most ${ALERT_THRESHOLDS_MAX} thresholds.`)
  .refine((thresholds) => new Set(thresholds).size === thresholds.length, 'Name each threshold once.')

/**
 * The record that the usage of a billing cycle reached a threshold. The transaction of the charge writes it, at most once for
 * each threshold and cycle.
 */
export const Alert = z.object({
  threshold: AlertThreshold,
  at: Timestamp,
  cycleStart: Timestamp,
  /** The credits used when the alert was recorded. */
  creditsUsed: Credits,
  creditsPerCycle: Credits,
})
export type Alert = z.infer<typeof Alert>

/** `data` contains the last 130 alerts, newest first. `thresholds` contains the current thresholds in ascending order. */
export const AlertsOutput = Output.extend({ thresholds: z.array(AlertThreshold), data: z.array(Alert) })

export const SetAlertThresholds = z.strictObject({ thresholds: AlertThresholds })
export const AlertThresholdsOutput = Output.extend({ thresholds: z.array(AlertThreshold) })
