import { z } from 'zod'
import { EMAIL_LENGTH_MAX } from './auth.ts'
import { BillingCycle, Plan } from './billing.ts'
import { Key, KeyId } from './keys.ts'
import { Credits, isPlainText, NOT_PLAIN_TEXT, Timestamp } from './output.ts'
import { UsageEvent } from './usage.ts'
import { hasNoWholeSecret } from './whole-secret.ts'
import { writtenText } from './written-text.ts'

/** What the operator's staff reads and changes to help a customer. Today, only the operator's commands use these schemas. */

export const ACCOUNTS_PAGE_MAX = 100
/** The number of keys, operations and holds that a report about an account lists. All others are summed. */
export const REPORT_ROWS_MAX = 20
/** The number of refused requests that a report about an account lists. */
export const REPORT_REFUSALS_MAX = 10
export const REVOKE_REASON_LENGTH_MAX = 200

/** By the time of the creation of the account. */
export const AccountSort = z.enum(['newest', 'oldest'])
export type AccountSort = z.infer<typeof AccountSort>

/** `no_account` is a user who has signed up, but has no account yet. */
export const AccountStatus = z.enum(['active', 'suspended', 'no_account'])
export type AccountStatus = z.infer<typeof AccountStatus>

/**
 * Lists accounts. `search` is an id, an e-mail address or a part of an address. Users without an account are found by their id or
 * their whole address, and listed with the status `no_account`, in the order of their ids.
 */
export const ListAccounts = z.strictObject({
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
export type ListAccounts = z.infer<typeof ListAccounts>

/** An account in a list. For a user without an account, `plan`, `creditsUsed` and `creditsRemaining` are null. */
export const AccountSummary = z.object({
  accountId: z.guid(),
  /** Null if the user has no e-mail address. The domain is in ASCII. */
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
      operation: z.string(),
      credits: Credits,
      createdAt: Timestamp,
      expiresAt: Timestamp,
    }),
  ),
  restOfHolds: z.object({ count: z.int().positive(), credits: Credits }).nullable(),
})
export type AccountUsage = z.infer<typeof AccountUsage>

/** The maximum number of secrets with one key prefix that are returned. */
export const KEYS_FOUND_MAX = 20

/** The number of random characters in a key prefix. */
const KEY_PREFIX_RANDOM_LENGTH = 8

/** Finds keys by a key prefix. A text that begins with a key prefix, e.g. a cut secret, is cut to the key prefix. */
export const FindKeysByPrefix = z.strictObject({
  keyPrefix: z
    .string()
    .trim()
    .refine(hasNoWholeSecret, { error: 'This is a whole secret: pass it on standard input.', abort: true })
    .regex(
      new RegExp(`^[a-z][a-z0-9]{0,15}_(?:dev|prod)_[0-9A-Za-z]{${KEY_PREFIX_RANDOM_LENGTH},54}$`),
      `Enter a key prefix: the brand, dev or prod, and ${KEY_PREFIX_RANDOM_LENGTH} characters, like km_prod_Ab12Cd34.`,
    )
    .overwrite((text) => text.slice(0, text.lastIndexOf('_') + 1 + KEY_PREFIX_RANDOM_LENGTH)),
})
export type FindKeysByPrefix = z.infer<typeof FindKeysByPrefix>

/** Finds the key of a whole secret. Never send the secret in a URL. */
export const FindKeyBySecret = z.strictObject({ secret: z.string().trim().max(1_000, 'This is too long for a secret.') })
export type FindKeyBySecret = z.infer<typeof FindKeyBySecret>

/** A secret that was found, and its key. */
export const FoundKey = z.object({
  accountId: z.guid(),
  email: z.string().nullable(),
  key: Key,
  secret: z.object({
    keyPrefix: z.string(),
    /**
     * `current` is the secret that the key has now. `previous` is an earlier secret in its grace period. `ended` is an earlier
     * secret after its grace period.
     */
    state: z.enum(['current', 'previous', 'ended']),
    /** The end of the grace period. Null for the current secret. */
    validUntil: Timestamp.nullable(),
    /** True if a charge with this secret is possible: the key is active, and the secret has not ended. */
    isWorking: z.boolean(),
    createdAt: Timestamp,
    lastUsedAt: Timestamp.nullable(),
  }),
})
export type FoundKey = z.infer<typeof FoundKey>

/** Revokes a key in the name of the operator. The customer sees the reason in the audit log. */
export const RevokeKeyOfCustomer = z.strictObject({
  keyId: KeyId.toLowerCase(),
  reason: writtenText(REVOKE_REASON_LENGTH_MAX, 'Enter a reason, or leave it out.').nullable().default(null),
})
export type RevokeKeyOfCustomer = z.infer<typeof RevokeKeyOfCustomer>

/** Lists the operator's log, newest entries first. */
export const ListOperatorLog = z.strictObject({
  accountId: z.guid().toLowerCase().optional(),
  limit: z.int().min(1).max(1_000, 'Ask for at most 1000 entries.').default(50),
})
export type ListOperatorLog = z.infer<typeof ListOperatorLog>

/** One read of customers' data by the operator. */
export const OperatorLogEntry = z.object({
  createdAt: Timestamp,
  requestId: z.string(),
  command: z.string(),
  /** The account that was read. Null if the command searched all accounts, and found none or several. */
  accountId: z.guid().nullable(),
  search: z.string().nullable(),
  osUser: z.string(),
  databaseUser: z.string(),
})
export type OperatorLogEntry = z.infer<typeof OperatorLogEntry>
