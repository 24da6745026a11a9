import { z } from 'zod'
import { Plan } from './billing.ts'
import { Credits, Output, Timestamp } from './output.ts'

/** The maximum number of thresholds of each kind. */
export const ALERT_THRESHOLDS_MAX = 10
export const ALERT_THRESHOLD_PERCENT_MAX = 1000
/**
 * The maximum number of listed alerts. It is enough for the current cycle and the 12 previous ones if each of 20 thresholds is
 * reached once per cycle. After a top-up or a change of the plan, a threshold can be reached again in the same cycle. The list of
 * such an account covers less time.
 */
export const ALERTS_LISTED_MAX = 260

const THRESHOLD_FAULT = `Enter a whole number from 1 to ${ALERT_THRESHOLD_PERCENT_MAX}.`
/** A percentage of the credits that the plan grants for a cycle. It can exceed 100, because top-ups let an account use more. */
export const AlertThreshold = z.int(THRESHOLD_FAULT).min(1, THRESHOLD_FAULT).max(ALERT_THRESHOLD_PERCENT_MAX, THRESHOLD_FAULT)

const CREDITS_LEFT_FAULT = `Enter a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`
/**
 * A number of credits left: granted + top-ups - used. Held credits count as left. A charge or a hold that is refused because it
 * asks for more than is left counts as reaching 0.
 */
export const AlertCreditsLeft = z
  .int(CREDITS_LEFT_FAULT)
  .min(0, CREDITS_LEFT_FAULT)
  .max(Number.MAX_SAFE_INTEGER, CREDITS_LEFT_FAULT)

const TOO_MANY = `Have at most ${ALERT_THRESHOLDS_MAX} thresholds.`
const REPEATED = 'Name each threshold once.'
const areDistinct = (thresholds: number[]) => new Set(thresholds).size === thresholds.length

/** A list of different percentages, in any order. An empty list disables these alerts. */
export const AlertThresholds = z.array(AlertThreshold).max(ALERT_THRESHOLDS_MAX, TOO_MANY).refine(areDistinct, REPEATED)
/** A list of different numbers of credits left, in any order. An empty list disables these alerts. */
export const AlertsCreditsLeft = z.array(AlertCreditsLeft).max(ALERT_THRESHOLDS_MAX, TOO_MANY).refine(areDistinct, REPEATED)

/**
 * `percent`: the usage has reached a percentage of the credits that the plan grants. `credits_left`: the credits left have fallen
 * to a number of credits.
 */
export const AlertKind = z.enum(['percent', 'credits_left'])
export type AlertKind = z.infer<typeof AlertKind>

/**
 * The record that an account reached a threshold. The transaction of the charge, or of the top-up that the operator takes back,
 * writes it, at most once for each threshold and cycle. A change of the plan lets all percentages be reached again. Everything that
 * raises what is left, e.g. a top-up or a refund, lets those numbers of credits left be reached again that are below it then.
 */
export const Alert = z.object({
  kind: AlertKind,
  /** A percentage for the kind `percent`, and a number of credits for the kind `credits_left`. */
  threshold: Credits,
  at: Timestamp,
  cycleStart: Timestamp,
  /** The plan when the alert was recorded, and the credits that it granted per cycle. */
  plan: Plan,
  creditsPerCycle: Credits,
  /** The credits used, and the credits left (including held credits), when the alert was recorded. */
  creditsUsed: Credits,
  creditsLeft: Credits,
})
export type Alert = z.infer<typeof Alert>

const Thresholds = Output.extend({
  /** Percentages, in ascending order. They apply while the plan grants credits. */
  thresholds: z.array(AlertThreshold),
  /**
   * Numbers of credits left, in descending order. If they were never set, they are 100 and 0 while the plan grants no credits,
   * and none otherwise.
   */
  creditsLeft: z.array(AlertCreditsLeft),
})

/** `data` contains the last alerts, newest first, and at most `ALERTS_LISTED_MAX`. `thresholds` and `creditsLeft` are the current thresholds. */
export const AlertsOutput = Thresholds.extend({ data: z.array(Alert) })

/** A missing list does not change. */
export const SetAlertThresholds = z.strictObject({
  thresholds: AlertThresholds.optional(),
  creditsLeft: AlertsCreditsLeft.optional(),
})
export type SetAlertThresholds = z.infer<typeof SetAlertThresholds>
export const AlertThresholdsOutput = Thresholds
