import { z } from 'zod'
import { EMAIL_LENGTH_MAX } from './auth.ts'
import { BillingCycle, Plan } from './billing.ts'
import { Key, KeyId } from './keys.ts'
import { Credits, isPlainText, NOT_PLAIN_TEXT, Timestamp } from './output.ts'
import { UsageEvent } from './usage.ts'
import { hasNoWholeSecret } from './whole-secret.ts'

export const ACCOUNTS_PAGE_MAX = 100
/** The number of keys, operations and holds that a report about an account lists. All others are summed. */
export const REPORT_ROWS_MAX = 20
/** The number of refused requests that a report about an account lists. */
export const REPORT_REFUSALS_MAX = 10

/** By the time of the creation of the account. */
export const AccountSort = z.enum(['newest', 'oldest'])
export type AccountSort = z.infer<typeof AccountSort>

/** `closed` is a deleted account. `no_account` is a user who has signed up, but belongs to no account yet. */
export const AccountStatus = z.enum(['active', 'suspended', 'closed', 'no_account'])
export type AccountStatus = z.infer<typeof AccountStatus>

/**
 * Lists accounts. `search` is an id, an e-mail address of a member, or a part of an address. Users without an account are found by their id or
 * their whole address, and listed with the status `no_account`, in the order of their ids.
 */
export const ListAccounts = z
  .strictObject({
    sort: AccountSort.default('newest'),
    search: z
      .string()
      .trim()
      .max(EMAIL_LENGTH_MAX, `Use at most ${EMAIL_LENGTH_MAX} characters.`)
      .refine(isPlainText, NOT_PLAIN_TEXT)
      .refine(hasNoWholeSecret, 'This is a whole secret, and searches are recorded: search by find-key instead.')
      .default(''),
    plan: Plan.optional(),
    status: AccountStatus.optional(),
    /** The `nextCursor` of the previous page. The first page needs no cursor. */
    cursor: z.string().max(200).nullish(),
    limit: z.int().min(1).max(ACCOUNTS_PAGE_MAX, `Ask for at most ${ACCOUNTS_PAGE_MAX} accounts.`).default(50),
  })
  .refine(({ plan, status }) => plan === undefined || status !== 'no_account', {
    path: ['plan'],
    message: 'A user without an account has no plan: leave out the plan or the status.',
  })
export type ListAccounts = z.infer<typeof ListAccounts>

/** An account in a list. For a user without an account, `plan`, `creditsUsed` and `creditsRemaining` are null. */
export const AccountSummary = z.object({
  accountId: z.guid(),
  /** The address of the first owner. Null if the account has no members, or if the user has no address. The domain is in ASCII. */
  email: z.string().nullable(),
  status: AccountStatus,
  /** The creation of the account, or the sign-up of a user without an account. Null if the auth server does not know it. */
  createdAt: Timestamp.nullable(),
  plan: Plan.nullable(),
  /** The credits that were used in the current cycle. */
  creditsUsed: Credits.nullable(),
  creditsRemaining: Credits.nullable(),
  liveKeys: z.int().nonnegative(),
  /** The last request that was decided for the account or a live key, also if it was refused. Null if there was none. */
  lastUsedAt: Timestamp.nullable(),
  suspendedAt: Timestamp.nullable(),
})
export type AccountSummary = z.infer<typeof AccountSummary>

/** Asks for the report about the current cycle, or about the cycle that starts at `cycleStart`. */
export const GetAccountUsage = z.strictObject({
  cycleStart: z.iso
    .datetime({ offset: true, error: 'Enter the start of a cycle as ISO-8601, like 2027-01-31T12:00:00.000Z.' })
    .optional(),
})
export type GetAccountUsage = z.infer<typeof GetAccountUsage>

/** The usage of a part of a cycle. `credits` are the charges minus the refunds. `charges` is the number of charges. */
const Used = z.object({ credits: z.int(), charges: z.int().nonnegative() })
/** What the listed rows leave out. `count` is the number of rows that are not listed. */
const Rest = Used.extend({ count: z.int().positive() }).nullable()

/**
 * Where the credits of one billing cycle went:
 * `creditsCarried + creditsGranted + creditsToppedUp - creditsUsed - creditsHeld = creditsRemaining`. `keys` and `operations` list
 * the largest ones first. `keys` and `restOfKeys` together contain all credits that were used, and so do `operations` and
 * `restOfOperations`.
 */
export const AccountUsage = z.object({
  accountId: z.guid(),
  email: z.string().nullable(),
  billingCycle: BillingCycle,
  isCurrent: z.boolean(),
  /** The start of the previous cycle. Null if there is no previous cycle. */
  previousCycleStart: Timestamp.nullable(),
  plan: Plan,
  /** The top-ups that were left of earlier cycles. */
  creditsCarried: Credits,
  creditsGranted: Credits,
  creditsToppedUp: z.int(),
  creditsUsed: Credits,
  creditsHeld: Credits,
  /** For a cycle that has ended, the credits that were left at its end. Those of the plan have lapsed. */
  creditsRemaining: Credits,
  suspendedAt: Timestamp.nullable(),
  keys: z.array(
    Used.extend({
      keyId: KeyId,
      name: z.string().nullable(),
      keyPrefix: z.string().nullable(),
      status: Key.shape.status.nullable(),
      /** The credits of the open holds that the key made in the cycle. */
      creditsHeld: Credits,
    }),
  ),
  restOfKeys: Rest,
  operations: z.array(Used.extend({ operation: z.string() })),
  restOfOperations: Rest,
  /** The last refused requests of the cycle, newest first. */
  refusals: z.array(UsageEvent),
  /** The largest open holds of the cycle. */
  holds: z.array(
    z.object({
      keyId: KeyId,
      keyName: z.string().nullable(),
      operation: z.string(),
      credits: Credits,
      createdAt: Timestamp,
      expiresAt: Timestamp,
    }),
  ),
  restOfHolds: z.object({ count: z.int().positive(), credits: Credits }).nullable(),
})
export type AccountUsage = z.infer<typeof AccountUsage>
