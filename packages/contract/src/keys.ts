import { z } from 'zod'
import { BillingCycle } from './billing.ts'
import { IdempotencyKey } from './idempotency-key.ts'
import { Credits, isPlainText, NOT_PLAIN_TEXT, Output, Timestamp } from './output.ts'
import { HAS_WHOLE_SECRET, hasNoWholeSecret } from './whole-secret.ts'
import { writtenText } from './written-text.ts'

export const KEY_NAME_LENGTH_MAX = 64
/** The maximum number of live keys (keys that are not revoked) of one account. */
export const KEYS_LIVE_MAX = 100
/** The longest grace period: 7 days. In its grace period, a previous secret of a rotated key still works. */
export const GRACE_SECONDS_MAX = 7 * 86_400
/** The grace period that `keys.rotate` gives by default, and that every repeat of a call gives. */
export const GRACE_SECONDS_DEFAULT = 86_400
/** The maximum number of secrets of one key that work: the current secret and the previous secrets in their grace periods. */
export const SECRETS_WORKING_MAX = 10
export const KEYS_PAGE_MAX = 100
/** A cursor can name 100 live keys that were returned (2,134 characters), and the longest name (about 500 characters). */
export const KEYS_CURSOR_LENGTH_MAX = 3_000

/** The type is only a label: keys of both types spend the credits of the same account. */
export const KeyType = z.enum(['dev', 'prod'])
export type KeyType = z.infer<typeof KeyType>

export const KeyName = writtenText(KEY_NAME_LENGTH_MAX, 'Enter a name.')

/** The id of a key. Like Postgres, this schema accepts any 128 bits as a UUID and does not check the version. */
export const KeyId = z.guid().toLowerCase()

/** The key prefix of a secret, as in `Key`. The schema checks only the length, because an unknown key prefix matches no secret. */
const KeyPrefix = z.string().max(100).refine(hasNoWholeSecret, HAS_WHOLE_SECRET)

/**
 * The status of a key. If several apply, `revoked` comes before `disabled`, and `disabled` comes before `expired`. Only an
 * active key can be charged.
 */
export const KeyStatus = z.enum(['active', 'disabled', 'expired', 'revoked'])
export type KeyStatus = z.infer<typeof KeyStatus>

/**
 * The maximum number of credits that a key can spend in one billing cycle. Null means that only the account's credits limit
 * the key.
 */
const CreditLimit = z
  .int('Enter a whole number up to 9,007,199,254,740,991.')
  .nonnegative('Enter a number that is not negative.')
  .nullable()

/**
 * The time when a key expires, with any UTC offset. It is stored in UTC. Null means that the key never expires. Any time in the
 * future is accepted, so a key can expire before the answer arrives, and a page should warn if it expires within a minute.
 */
const ExpiresAt = z.iso.datetime({ offset: true, error: 'Enter a moment as ISO-8601, like 2027-01-31T12:00:00Z.' }).nullable()

/**
 * A key without its secret.
 *
 * - `keyPrefix` contains the brand, the type and the first 8 random characters of the current secret.
 * - `isSecretSaved` becomes true when a person confirms that the secret is saved, or when the secret is first used. While it
 *   is false, the response with the secret was perhaps lost, and `keys.replaceLostSecret` can replace the secret.
 * - `lastUsedAt` is the time of the last charge, hold or verify with one of the secrets, to the minute. Every verdict counts, e.g.
 *   also a refusal because the key is disabled.
 * - `graceEndsAt` is the time until which previous secrets still work. Each previous secret has its own grace period, and this
 *   is the end of the last one. Null means that only the current secret works.
 */
export const Key = z.object({
  id: KeyId,
  name: z.string(),
  keyPrefix: z.string(),
  keyType: KeyType,
  status: KeyStatus,
  creditLimit: Credits.nullable(),
  isSecretSaved: z.boolean(),
  createdAt: Timestamp,
  lastUsedAt: Timestamp.nullable(),
  expiresAt: Timestamp.nullable(),
  graceEndsAt: Timestamp.nullable(),
  disabledAt: Timestamp.nullable(),
  /** The member who created the key. Null if no member did. The address is null if it is unknown or the user was deleted. */
  createdBy: z.object({ id: z.guid(), email: z.string().nullable() }).nullable(),
  /** True if the key belongs to no person, e.g. because a server uses it. Only owners and admins can change such a key. */
  isService: z.boolean(),
  revokedAt: Timestamp.nullable(),
})
export type Key = z.infer<typeof Key>

/** A key with its new secret. Only outputs of this type contain a secret. */
export const NewKey = Key.extend({ secret: z.string() })
export type NewKey = z.infer<typeof NewKey>

/** `creditsUsed` is the sum of the key's charges minus its refunds in one billing cycle. */
export const KeyWithUsage = Key.extend({ creditsUsed: Credits })
export type KeyWithUsage = z.infer<typeof KeyWithUsage>

/**
 * An idempotency key makes it safe to repeat a call whose answer was lost. A repeat (the same call with the same input) creates
 * no second key and ends no working secret. Each attempt returns another secret, because secrets are not stored: the secret of
 * the last attempt is the current one, and the secret of an earlier attempt still works for 24 hours. A repeat is refused if
 * another call has given the key its current secret since, and the same idempotency key with another input is refused too. There
 * is no time limit.
 */
const RepeatedWith = IdempotencyKey.nullable().default(null)

/** Without an idempotency key, a retry after a lost answer creates a second key. */
export const CreateKey = z.strictObject({
  name: KeyName,
  keyType: KeyType.default('dev'),
  expiresAt: ExpiresAt.default(null),
  creditLimit: CreditLimit.default(null),
  /** True if the key shall belong to no person. Only owners and admins can create such a key. */
  isService: z.boolean().default(false),
  idempotencyKey: RepeatedWith,
})
export type CreateKey = z.infer<typeof CreateKey>

/** Selects the keys to list: keys with one status, live keys (not revoked), or all keys. */
export const KeyFilter = z.enum(['live', ...KeyStatus.options, 'all'])
export type KeyFilter = z.infer<typeof KeyFilter>

export const KeySort = z.enum(['newest', 'oldest', 'name', 'lastUsed'])
export type KeySort = z.infer<typeof KeySort>

/**
 * The filters select together. `search` selects the keys whose name or key prefix contains this text. Case is ignored. The text is
 * normalised like a name.
 */
export const ListKeys = z.strictObject({
  status: KeyFilter.default('live'),
  sort: KeySort.default('newest'),
  search: z
    .string()
    .normalize('NFC')
    .trim()
    .max(KEY_NAME_LENGTH_MAX)
    .refine(isPlainText, NOT_PLAIN_TEXT)
    .refine(hasNoWholeSecret, HAS_WHOLE_SECRET)
    .default(''),
  /** Selects the keys that this member created and that belong to a person. */
  createdBy: KeyId.optional(),
  /** The `nextCursor` of the previous page. The first page needs no cursor. */
  cursor: z.string().max(KEYS_CURSOR_LENGTH_MAX).nullish(),
  limit: z.int().min(1).max(KEYS_PAGE_MAX).default(KEYS_PAGE_MAX),
  /** tRPC's client adds this field to infinite queries. The server ignores it. */
  direction: z.literal('forward').optional(),
})
export type ListKeys = z.infer<typeof ListKeys>

/** Selects the billing cycle that starts at `cycleStart`. Without `cycleStart`, it selects the current cycle. */
export const KeyUsage = z.strictObject({ cycleStart: z.iso.datetime({ offset: true }).optional() })
export type KeyUsage = z.infer<typeof KeyUsage>

export const KeyRef = z.strictObject({ id: KeyId })
export type KeyRef = z.infer<typeof KeyRef>

/** Missing fields stay unchanged. The type of a key cannot change, because the secret contains it. */
export const UpdateKey = KeyRef.extend({
  name: KeyName.optional(),
  expiresAt: ExpiresAt.optional(),
  creditLimit: CreditLimit.optional(),
})
export type UpdateKey = z.infer<typeof UpdateKey>

/**
 * Without an idempotency key, a retry after a lost answer is another rotation: the secret of the first attempt works only for
 * `graceSeconds` from then on. The secret that the first attempt replaced keeps its grace period.
 */
export const RotateKey = KeyRef.extend({
  /** The time for which the current secret still works. It changes no earlier grace period. 0 ends the current secret immediately. */
  graceSeconds: z
    .int('Enter a whole number of seconds.')
    .min(0, 'Enter 0 or more seconds.')
    .max(GRACE_SECONDS_MAX, `Enter at most ${GRACE_SECONDS_MAX} seconds, which is 7 days.`)
    .default(GRACE_SECONDS_DEFAULT),
  /**
   * The key prefix of the secret to replace. If the key has another current secret, e.g. because somebody else rotated it, the
   * call is refused. A missing key prefix replaces any secret.
   */
  keyPrefix: KeyPrefix.optional(),
  /** The new expiry of the key. A missing expiry stays unchanged. An expired key needs one: its new secret would not work. */
  expiresAt: ExpiresAt.optional(),
  idempotencyKey: RepeatedWith,
})
export type RotateKey = z.infer<typeof RotateKey>

/**
 * `keyPrefix` identifies the lost secret. If another request, e.g. from another tab, has already replaced that secret, the new
 * secret is not replaced. The call is made after an answer was lost, and its own answer can be lost too, so it needs an
 * idempotency key.
 */
export const ReplaceLostSecret = KeyRef.extend({ keyPrefix: KeyPrefix, idempotencyKey: IdempotencyKey })
export type ReplaceLostSecret = z.infer<typeof ReplaceLostSecret>

/** `keyPrefix` identifies the saved secret. If the key has been rotated since then, its new secret is not marked as saved. */
export const ConfirmSecretSaved = KeyRef.extend({ keyPrefix: KeyPrefix.optional() })
export type ConfirmSecretSaved = z.infer<typeof ConfirmSecretSaved>

export const KeyOutput = Output.extend(Key.shape)
export const NewKeyOutput = Output.extend(NewKey.shape)
export const KeyWithUsageOutput = Output.extend(KeyWithUsage.shape)
/**
 * `nextCursor` is null only on the last page. A page with `search` or `createdBy` examines a limited number of keys, so a page before the last
 * one can contain fewer keys than requested, or none.
 */
export const ListKeysOutput = Output.extend({ data: z.array(KeyWithUsage), nextCursor: z.string().nullable() })
/**
 * `data` contains the live keys, each with the credits that it used in the cycle. `revokedCreditsUsed` is the number of credits
 * that all revoked keys used in this cycle. The sum of these numbers is the number of credits that the account used. If the
 * account does not exist yet, `billingCycle` is null and `data` is empty.
 */
export const KeyUsageOutput = Output.extend({
  data: z.array(KeyWithUsage),
  revokedCreditsUsed: Credits,
  billingCycle: BillingCycle.nullable(),
})
