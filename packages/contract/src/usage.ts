import { z } from 'zod'
import { BillingCycle, Plan } from './billing.ts'
import { IdempotencyKey } from './idempotency-key.ts'
import { KeyId, KeyType } from './keys.ts'
import { EventVerdict, Operation } from './metering.ts'
import { Credits, Output, Timestamp } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'

/** Usage is summed in 15-minute buckets. The hours and days of every time zone consist of whole buckets. */
const BUCKET_MS = 15 * 60_000
export const TIMESERIES_DAYS_MAX = 400
export const TIMESERIES_HOURS_MAX = 31 * 24
/** The maximum number of series in a time series. All other keys or operations are summed in `rest`. */
export const TIMESERIES_SERIES_MAX = 50
/**
 * The maximum number of cells in a time series: the number of series, including `rest`, times the number of hours or days. The
 * two numbers of a cell take at most 34 bytes of JSON. So an answer has at most 400 kB, with any numbers and names, and a batch
 * of ten such answers is written within 20 ms.
 */
const TIMESERIES_CELLS_MAX = 10_000

/**
 * Returns the maximum number of series in a time series with this number of hours or days: 50, or fewer if there are more than
 * 196 hours or days. For 31 days by hour it is 12, and for 400 days by day it is 24.
 */
export function timeseriesSeriesMax(buckets: number): number {
  return Math.min(TIMESERIES_SERIES_MAX, Math.floor(TIMESERIES_CELLS_MAX / buckets) - 1)
}

/**
 * The name of a time zone that both this runtime and Postgres know: `UTC`, or a name with a region, e.g. `Asia/Kolkata`. Other
 * names are refused, because Postgres gives them another meaning. In Postgres, a name without a region is an abbreviation:
 * `CET` has no summer time, and `IST` is the time of Israel. `UTC+2` is two hours west of UTC.
 */
const TimeZone = z.string().refine((name) => {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }) !== undefined && /^(UTC|[A-Za-z_]+\/[A-Za-z_+\-/0-9]+)$/.test(name)
  } catch {
    return false
  }
}, 'Enter a time zone with its region, like Europe/Berlin, or UTC.')

const BucketStart = z.iso
  .datetime({ offset: true, error: 'Enter a moment as ISO-8601, like 2027-01-31T12:00:00Z.' })
  .refine((moment) => Date.parse(moment) % BUCKET_MS === 0, 'Choose a multiple of 15 minutes.')
  // A series by day has whole days, so it can begin before the requested range and end after it. The years of these days must
  // have four digits too.
  .refine((moment) => {
    const end = new Date(Date.parse(moment) + 48 * 3_600_000)
    return !Number.isNaN(end.getTime()) && /^[1-9]\d{3}-/.test(end.toISOString())
  }, 'Choose a year from 1000 to 9999.')

export const TimeseriesUnit = z.enum(['hour', 'day'])
export type TimeseriesUnit = z.infer<typeof TimeseriesUnit>

/**
 * Selects the usage of the billing cycle that starts at `cycleStart`, or the usage of a time range from `from` (inclusive) to
 * `to` (exclusive). Without any of these fields, it selects the current cycle.
 */
export const UsageTimeseries = z
  .strictObject({
    cycleStart: z.iso.datetime({ offset: true }).optional(),
    from: BucketStart.optional(),
    to: BucketStart.optional(),
    unit: TimeseriesUnit.default('day'),
    by: z.enum(['key', 'operation']).default('key'),
    timeZone: TimeZone.default('UTC'),
    keyId: KeyId.optional(),
    operation: Operation.optional(),
  })
  .refine(({ from, to }) => (from === undefined) === (to === undefined), {
    path: ['to'],
    message: 'Send both from and to, or neither.',
  })
  .refine(({ from, to }) => from === undefined || to === undefined || Date.parse(from) < Date.parse(to), {
    path: ['to'],
    message: 'Choose an end that is later than the beginning.',
  })
  .refine(({ from, cycleStart }) => from === undefined || cycleStart === undefined, {
    path: ['cycleStart'],
    message: 'Send cycleStart or a range, not both.',
  })
  .refine(
    ({ from, to, unit }) => {
      const days = unit === 'day' ? TIMESERIES_DAYS_MAX : TIMESERIES_HOURS_MAX / 24
      return from === undefined || to === undefined || Date.parse(to) - Date.parse(from) <= days * 86_400_000
    },
    { path: ['from'], message: `Ask for at most ${TIMESERIES_DAYS_MAX} days, or ${TIMESERIES_HOURS_MAX} hours.` },
  )
export type UsageTimeseries = z.infer<typeof UsageTimeseries>

/** The usage of one key or one operation. `credits` and `charges` contain one number for each hour or day, which can be 0. */
export const UsageSeries = z.object({
  keyId: KeyId.nullable(),
  keyName: z.string().nullable(),
  /** The key prefix distinguishes keys with the same name. */
  keyPrefix: z.string().nullable(),
  operation: z.string().nullable(),
  credits: z.array(Credits),
  charges: z.array(Credits),
})
export type UsageSeries = z.infer<typeof UsageSeries>

/**
 * The usage of all keys or operations that have usage but no series of their own. `count` is the number of these keys or
 * operations. `credits` and `charges` contain one sum for each hour or day.
 */
export const UsageRest = UsageSeries.pick({ credits: true, charges: true }).extend({ count: z.int().positive() })
export type UsageRest = z.infer<typeof UsageRest>

/**
 * `buckets` contains the start of each hour or day in the requested time zone. The first hour or day can start before `from`,
 * but only its usage since `from` is counted.
 *
 * `series` contains the keys or operations with the most credits in the whole range: at most 50, or fewer if there are more than
 * 196 hours or days, so that an answer has at most 400 kB. The series with the most credits comes first. Of two series with
 * equal credits, the one with more charges comes first, and then the one with the lower key id or operation. Keys and operations
 * without usage have no series.
 *
 * `rest` is the sum of all other keys or operations with usage. It is null if there are no others. `series` and `rest` together
 * contain all usage that the filters select.
 */
export const UsageTimeseriesOutput = Output.extend({
  from: Timestamp,
  to: Timestamp,
  buckets: z.array(Timestamp),
  series: z.array(UsageSeries),
  rest: UsageRest.nullable(),
})
export type UsageTimeseriesOutput = z.infer<typeof UsageTimeseriesOutput>

/** The maximum number of open streams of one account in one process of the server. */
export const STREAMS_PER_ACCOUNT_MAX = 20

/**
 * A client that reconnects sends the id of the last event that it received. The server ignores this id, because each stream
 * starts with the current state.
 */
export const WatchUsage = z.strictObject({
  lastEventId: z.string().max(64).refine(hasNoWholeSecret, HAS_WHOLE_SECRET).optional(),
})

/**
 * The balance, the plan and the suspension of an account, read from one commit. `sequence` is the sequence of the account's
 * last usage event. It is also the id of the event on the stream.
 */
export const UsageSnapshot = Output.extend({
  sequence: z.int().nonnegative(),
  billingCycle: BillingCycle,
  creditsUsed: Credits,
  creditsHeld: Credits,
  creditsRemaining: Credits,
  plan: Plan,
  nextPlan: Plan.nullable(),
  suspendedAt: Timestamp.nullable(),
})
export type UsageSnapshot = z.infer<typeof UsageSnapshot>
export const EVENTS_PAGE_MAX = 100

/** The request that a usage event records. `settle` and `release` end a hold, and `refund` gives back credits of a charge. */
export const UsageAction = z.enum(['charge', 'hold', 'settle', 'release', 'refund'])
export type UsageAction = z.infer<typeof UsageAction>

/** A verdict to filter by. The schema checks only the form, because a verdict that does not exist matches no event. */
const VerdictName = z.string().regex(/^[a-z_]{1,40}$/, 'Enter a verdict, like insufficient_credits.')

/** Selects the events that match all filters. The time range includes `from` and excludes `to`. */
export const UsageEventFilters = z.strictObject({
  keyId: KeyId.optional(),
  operation: Operation.optional(),
  /** The event must have one of these verdicts. */
  verdicts: z.array(VerdictName).min(1).max(20).optional(),
  action: UsageAction.optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  idempotencyKey: IdempotencyKey.optional(),
})
export type UsageEventFilters = z.infer<typeof UsageEventFilters>

/** Lists usage events from newest to oldest. */
export const ListUsageEvents = z.strictObject({
  ...UsageEventFilters.shape,
  /** The `nextCursor` of the previous page. The first page needs no cursor. */
  cursor: z.string().max(64).nullish(),
  limit: z.int().min(1).max(EVENTS_PAGE_MAX).default(50),
  /** tRPC's client adds this field to infinite queries. The server ignores it. */
  direction: z.literal('forward').optional(),
})
export type ListUsageEvents = z.infer<typeof ListUsageEvents>

/** One recorded decision of the charge engine. */
export const UsageEvent = z.object({
  /** The number of the event in its account: 1 for the first event, without gaps. */
  sequence: z.int().positive(),
  createdAt: Timestamp,
  keyId: KeyId,
  /** The current name of the key. */
  keyName: z.string().nullable(),
  /** The current key prefix of the key. It distinguishes keys with the same name. */
  keyPrefix: z.string().nullable(),
  keyType: KeyType.nullable(),
  action: UsageAction,
  operation: z.string(),
  verdict: EventVerdict,
  creditsRequested: Credits,
  /** The change of the used credits. It is negative for a refund. If the refund became a top-up, it is 0. */
  creditsCharged: z.int(),
  /** The requested credits of a settle that could not be charged. 0 for all other events. */
  uncollected: Credits,
  /** The credits that the account could spend after the event. */
  remaining: Credits,
  /**
   * The credits of open holds when the event was refused because too few credits were left: for `insufficient_credits` those of
   * the account, for `key_limit_exceeded` those of the key. Null for all other verdicts.
   */
  creditsHeld: Credits.nullable(),
  idempotencyKey: z.string().nullable(),
  /** The sequence of the hold that the event ends, or of the charge that the event refunds. Null for charges and holds. */
  refersTo: z.int().positive().nullable(),
  /** The time when a hold expires. Null for the other actions. */
  expiresAt: Timestamp.nullable(),
})
export type UsageEvent = z.infer<typeof UsageEvent>

/**
 * `nextCursor` is null only on the last page. A page examines a limited number of events, so a page before the last one can
 * contain fewer events than requested, or none.
 */
export const ListUsageEventsOutput = Output.extend({ data: z.array(UsageEvent), nextCursor: z.string().nullable() })
