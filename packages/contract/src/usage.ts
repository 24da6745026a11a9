import { z } from 'zod'
import { Answer, Credits, Timestamp } from './answer.ts'
import { BillingCycle, Plan } from './billing.ts'
import { KeyId, KeyType } from './keys.ts'
import { EventVerdict, IdempotencyKey, Operation } from './metering.ts'

/** Usage is kept by quarters of an hour: every time zone's days and hours are made of whole ones. */
const QUARTER_HOUR_MS = 15 * 60_000
export const TIMESERIES_DAYS_MAX = 400
export const TIMESERIES_HOURS_MAX = 31 * 24

/**
 * As both this runtime and Postgres know it: `Asia/Kolkata`. To Postgres a name without a region is an abbreviation first
 * (`CET` has no summer, `IST` is Israel's), and an offset counts the other way round.
 */
const TimeZone = z.string().refine((name) => {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }) !== undefined && /^(UTC|[A-Za-z_]+\/[A-Za-z_+\-/0-9]+)$/.test(name)
  } catch {
    return false
  }
}, 'Name a time zone by its region, like Europe/Berlin, or UTC.')

const QuarterHour = z.iso
  .datetime({ offset: true, error: 'Enter a moment as ISO-8601, like 2027-01-31T12:00:00Z.' })
  .refine((moment) => Date.parse(moment) % QUARTER_HOUR_MS === 0, 'Choose a full quarter of an hour.')
  // Days begin before it and end after it, and have four digits for their year too.
  .refine(
    (moment) => /^[1-9]\d{3}-/.test(new Date(Date.parse(moment) + 48 * 3_600_000).toISOString()),
    'Choose a year from 1000 to 9999.',
  )

export const TimeseriesUnit = z.enum(['hour', 'day'])
export type TimeseriesUnit = z.infer<typeof TimeseriesUnit>

/**
 * Which usage: of a billing cycle (the current one, or that which starts at `cycleStart`), or from `from` until `to`, which
 * is not included. Both of these or neither.
 */
export const UsageTimeseries = z
  .strictObject({
    cycleStart: z.iso.datetime({ offset: true }).optional(),
    from: QuarterHour.optional(),
    to: QuarterHour.optional(),
    unit: TimeseriesUnit.default('day'),
    by: z.enum(['key', 'operation']).default('key'),
    timeZone: TimeZone.default('UTC'),
    keyId: KeyId.optional(),
    operation: Operation.optional(),
  })
  .refine(({ from, to }) => (from === undefined) === (to === undefined), {
    path: ['to'],
    message: 'Say both from and to, or neither.',
  })
  .refine(({ from, to }) => from === undefined || to === undefined || Date.parse(from) < Date.parse(to), {
    path: ['to'],
    message: 'Choose an end after the beginning.',
  })
  .refine(({ from, cycleStart }) => from === undefined || cycleStart === undefined, {
    path: ['cycleStart'],
    message: 'Say a cycle or a range, not both.',
  })
  .refine(
    ({ from, to, unit }) => {
      const days = unit === 'day' ? TIMESERIES_DAYS_MAX : TIMESERIES_HOURS_MAX / 24
      return from === undefined || to === undefined || Date.parse(to) - Date.parse(from) <= days * 86_400_000
    },
    { path: ['from'], message: `Ask for at most ${TIMESERIES_DAYS_MAX} days, or ${TIMESERIES_HOURS_MAX} hours.` },
  )
export type UsageTimeseries = z.infer<typeof UsageTimeseries>

/** What one key, or one operation, used: one number for each bucket, 0 where there was nothing. */
export const UsageSeries = z.object({
  keyId: KeyId.nullable(),
  keyName: z.string().nullable(),
  /** Tells keys of one name apart. */
  keyPrefix: z.string().nullable(),
  operation: z.string().nullable(),
  credits: z.array(Credits),
  charges: z.array(Credits),
})
export type UsageSeries = z.infer<typeof UsageSeries>

/**
 * `buckets` are the starts of the hours or days, in the time zone asked for; the first may begin before `from`, and counts
 * from there. `series` has whoever used something, the largest first.
 */
export const UsageTimeseriesAnswer = Answer.extend({
  from: Timestamp,
  to: Timestamp,
  buckets: z.array(Timestamp),
  series: z.array(UsageSeries),
})

/** Open streams of an account, in each process of the server. */
export const STREAMS_PER_ACCOUNT_MAX = 20

/** `lastEventId` is what a client that opens the stream again has seen last. Whatever it is, the present state comes first. */
export const WatchUsage = z.strictObject({ lastEventId: z.string().max(64).optional() })

/**
 * An account's spending at one moment, and what the operator decided of it: all of it is of the same commit. `sequence` is that of its last usage event, and the
 * id of the stream's event.
 */
export const UsageSnapshot = Answer.extend({
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

/** What a usage event came of: `settle` and `release` end a hold, `refund` takes a charge back. */
export const UsageAction = z.enum(['charge', 'hold', 'settle', 'release', 'refund'])
export type UsageAction = z.infer<typeof UsageAction>

/** A verdict to search for. Only its form is checked: no event has a verdict that does not exist. */
const VerdictName = z.string().regex(/^[a-z_]{1,40}$/, 'Name a verdict, like insufficient_credits.')

/** Which events; each must pass all that is given. `from` is included, `to` is not. */
export const UsageEventFilters = z.strictObject({
  keyId: KeyId.optional(),
  operation: Operation.optional(),
  /** One of these. */
  verdicts: z.array(VerdictName).min(1).max(20).optional(),
  action: UsageAction.optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  idempotencyKey: IdempotencyKey.optional(),
})
export type UsageEventFilters = z.infer<typeof UsageEventFilters>

/** Newest first. */
export const ListUsageEvents = z.strictObject({
  ...UsageEventFilters.shape,
  /** `nextCursor` of the page before. */
  cursor: z.string().max(64).nullish(),
  limit: z.int().min(1).max(EVENTS_PAGE_MAX).default(50),
  /** Added by tRPC's infinite queries. */
  direction: z.literal('forward').optional(),
})
export type ListUsageEvents = z.infer<typeof ListUsageEvents>

/** One decision of the charge engine, and what its caller was told. */
export const UsageEvent = z.object({
  /** 1 for the account's first event, and so on without a gap. */
  sequence: z.int().positive(),
  createdAt: Timestamp,
  keyId: KeyId,
  /** The key's name now. */
  keyName: z.string().nullable(),
  keyType: KeyType.nullable(),
  action: UsageAction,
  operation: z.string(),
  verdict: EventVerdict,
  creditsRequested: Credits,
  /** Less than nothing for a refund. */
  creditsCharged: z.int(),
  /** Credits of the account that were left just after. */
  remaining: Credits,
  idempotencyKey: z.string().nullable(),
  /** The sequence of the hold that it ends, or of the charge that it takes back. */
  refersTo: z.int().positive().nullable(),
  /** When a hold ends by itself. */
  expiresAt: Timestamp.nullable(),
})
export type UsageEvent = z.infer<typeof UsageEvent>

/**
 * `nextCursor` is null on the last page, and there alone: a page looks at so many events at most, and may hold fewer than
 * asked for, or none, before the end.
 */
export const ListUsageEventsAnswer = Answer.extend({ data: z.array(UsageEvent), nextCursor: z.string().nullable() })
