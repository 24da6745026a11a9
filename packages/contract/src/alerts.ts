import { z } from 'zod'
import { Answer, Credits, Timestamp } from './answer.ts'

export const ALERT_THRESHOLDS_MAX = 10
export const ALERT_THRESHOLD_PERCENT_MAX = 1000

const THRESHOLD_FAULT = `Enter a whole number from 1 to ${ALERT_THRESHOLD_PERCENT_MAX}.`
/** Percent of the credits that the plan gives for a cycle. More than 100 is of use to who has top-ups. */
export const AlertThreshold = z.int(THRESHOLD_FAULT).min(1, THRESHOLD_FAULT).max(ALERT_THRESHOLD_PERCENT_MAX, THRESHOLD_FAULT)

/** In any order; each once. None switches alerts off. */
export const AlertThresholds = z
  .array(AlertThreshold)
  .max(ALERT_THRESHOLDS_MAX, `Have at most ${ALERT_THRESHOLDS_MAX} thresholds.`)
  .refine((thresholds) => new Set(thresholds).size === thresholds.length, 'Name each threshold once.')

/** A threshold that the usage of a cycle reached: once a cycle, recorded together with the charge that reached it. */
export const Alert = z.object({
  threshold: AlertThreshold,
  at: Timestamp,
  cycleStart: Timestamp,
  /** Then. */
  creditsUsed: Credits,
  creditsPerCycle: Credits,
})
export type Alert = z.infer<typeof Alert>

/** The last 130 alerts, newest first, and the thresholds from now on, ascending. */
export const AlertsAnswer = Answer.extend({ thresholds: z.array(AlertThreshold), data: z.array(Alert) })

export const SetAlertThresholds = z.strictObject({ thresholds: AlertThresholds })
export const AlertThresholdsAnswer = Answer.extend({ thresholds: z.array(AlertThreshold) })
