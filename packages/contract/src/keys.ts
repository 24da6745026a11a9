import { z } from 'zod'
import { Answer, Credits, isPlainText, NOT_PLAIN_TEXT, Timestamp } from './answer.ts'
import { BillingCycle } from './billing.ts'

export const KEY_NAME_LENGTH_MAX = 64
/** Live keys (not revoked) of one account. */
export const KEYS_LIVE_MAX = 100
/** How long a rotated secret may still work: 7 days. */
export const GRACE_SECONDS_MAX = 7 * 86_400
export const GRACE_SECONDS_DEFAULT = 86_400
export const KEYS_PAGE_MAX = 100

/** A label for now: both types spend the same credits. */
export const KeyType = z.enum(['dev', 'prod'])
export type KeyType = z.infer<typeof KeyType>

/** What a whole secret looks like, with any brand. It does not belong where it would be shown or kept. */
const SECRET = /[a-z][a-z0-9]{0,15}_(?:dev|prod)_[0-9A-Za-z]{55}/

/** Any Unicode, trimmed, 1 to 64 characters (code points, as Postgres counts them), no control characters, no secret. */
export const KeyName = z
  .string()
  .trim()
  .min(1, 'Enter a name.')
  .refine((name) => [...name].length <= KEY_NAME_LENGTH_MAX, `Use at most ${KEY_NAME_LENGTH_MAX} characters.`)
  .refine(isPlainText, NOT_PLAIN_TEXT)
  .refine((name) => !SECRET.test(name), 'This is a secret, which would be shown as a name: choose another.')

/** As Postgres reads a uuid: any 128 bits, whatever their version says. */
export const KeyId = z.guid()

/** What a key may do now. Of several the first counts: revoked, disabled, expired. Only an active key is charged. */
export const KeyStatus = z.enum(['active', 'disabled', 'expired', 'revoked'])
export type KeyStatus = z.infer<typeof KeyStatus>

/**
 * The most that a key may spend in one billing cycle; null leaves it to the account's credits.
 */
const CreditLimit = z
  .int('Enter a whole number up to 9,007,199,254,740,991.')
  .nonnegative('Enter a number that is not negative.')
  .nullable()

/** Taken with any offset, kept in UTC. */
const ExpiresAt = z.iso.datetime({ offset: true, error: 'Enter a moment as ISO-8601, like 2027-01-31T12:00:00Z.' }).nullable()

/**
 * A key as it is shown. `keyPrefix` shows brand, type and the first 8 random characters of its current secret.
 * `isSecretSaved` is false while nobody has said that they have the secret, nor used it: its answer may never have arrived,
 * and `keys.replaceLostSecret` makes another. `graceEndsAt` is the moment until which the secret before still works.
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
  revokedAt: Timestamp.nullable(),
})
export type Key = z.infer<typeof Key>

/** A key with a secret just made: the only time that it is shown. */
export const NewKey = Key.extend({ secret: z.string() })
export type NewKey = z.infer<typeof NewKey>

/** `creditsUsed` is what the key was charged in the current billing cycle, or in the one asked for. */
export const KeyWithUsage = Key.extend({ creditsUsed: Credits })
export type KeyWithUsage = z.infer<typeof KeyWithUsage>

export const CreateKey = z.strictObject({
  name: KeyName,
  keyType: KeyType.default('dev'),
  expiresAt: ExpiresAt.default(null),
  creditLimit: CreditLimit.default(null),
})
export type CreateKey = z.infer<typeof CreateKey>

/** Which keys a list shows: those of one status, the live ones (not revoked), or all. */
export const KeyFilter = z.enum(['live', ...KeyStatus.options, 'all'])
export type KeyFilter = z.infer<typeof KeyFilter>

export const KeySort = z.enum(['newest', 'oldest', 'name', 'lastUsed'])
export type KeySort = z.infer<typeof KeySort>

/** `search` looks into names and key prefixes, whatever the case. */
export const ListKeys = z.strictObject({
  status: KeyFilter.default('live'),
  sort: KeySort.default('newest'),
  search: z
    .string()
    .trim()
    .max(KEY_NAME_LENGTH_MAX)
    .refine(isPlainText, NOT_PLAIN_TEXT)
    .refine((text) => !SECRET.test(text), 'Search by the key prefix: a whole secret must not stand in an address.')
    .default(''),
  /** `nextCursor` of the page before. */
  cursor: z.string().max(1000).nullish(),
  limit: z.int().min(1).max(KEYS_PAGE_MAX).default(KEYS_PAGE_MAX),
  /** Added by tRPC's infinite queries. */
  direction: z.literal('forward').optional(),
})
export type ListKeys = z.infer<typeof ListKeys>

/** The current billing cycle, or the one that starts at `cycleStart`. */
export const KeyUsage = z.strictObject({ cycleStart: z.iso.datetime({ offset: true }).optional() })
export type KeyUsage = z.infer<typeof KeyUsage>

export const KeyRef = z.strictObject({ id: KeyId })
export type KeyRef = z.infer<typeof KeyRef>

/** What is left out stays. The type cannot change: the secret itself names it. */
export const UpdateKey = KeyRef.extend({
  name: KeyName.optional(),
  expiresAt: ExpiresAt.optional(),
  creditLimit: CreditLimit.optional(),
})
export type UpdateKey = z.infer<typeof UpdateKey>

export const RotateKey = KeyRef.extend({
  /** How long the secret before still works. */
  graceSeconds: z
    .int('Enter a whole number of seconds.')
    .min(0, 'Enter 0 or more seconds.')
    .max(GRACE_SECONDS_MAX, `Enter at most ${GRACE_SECONDS_MAX} seconds, which is 7 days.`)
    .default(GRACE_SECONDS_DEFAULT),
})
export type RotateKey = z.infer<typeof RotateKey>

/** `keyPrefix` says which secret was lost: one that was made meanwhile, in another tab say, is not. */
export const ReplaceLostSecret = KeyRef.extend({ keyPrefix: z.string().max(100) })
export type ReplaceLostSecret = z.infer<typeof ReplaceLostSecret>

/** `keyPrefix` says which secret was saved: a key that was rotated since has another one, and stays unsaved. */
export const ConfirmSecretSaved = KeyRef.extend({ keyPrefix: z.string().max(100).optional() })
export type ConfirmSecretSaved = z.infer<typeof ConfirmSecretSaved>

export const KeyAnswer = Answer.extend(Key.shape)
export const NewKeyAnswer = Answer.extend(NewKey.shape)
export const KeyWithUsageAnswer = Answer.extend(KeyWithUsage.shape)
/** `nextCursor` is null on the last page. */
export const ListKeysAnswer = Answer.extend({ data: z.array(KeyWithUsage), nextCursor: z.string().nullable() })
/**
 * `data` are the live keys. `revokedCreditsUsed` is what revoked keys used in the same cycle: both together are the credits
 * that the account used. `billingCycle` is null until the account exists; then `data` is empty.
 */
export const KeyUsageAnswer = Answer.extend({
  data: z.array(KeyWithUsage),
  revokedCreditsUsed: Credits,
  billingCycle: BillingCycle.nullable(),
})
