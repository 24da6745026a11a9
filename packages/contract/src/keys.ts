import { z } from 'zod'
import { BillingCycle } from './billing.ts'
import { Credits, isPlainText, NOT_PLAIN_TEXT, Output, Timestamp } from './output.ts'

export const KEY_NAME_LENGTH_MAX = 64
/** Live keys of one account, i.e. keys that are not revoked. */
export const KEYS_LIVE_MAX = 100
/** The longest grace period of a rotated secret: 7 days. */
export const GRACE_SECONDS_MAX = 7 * 86_400
export const GRACE_SECONDS_DEFAULT = 86_400
export const KEYS_PAGE_MAX = 100

/** A label: keys of both types spend the same credits. */
export const KeyType = z.enum(['dev', 'prod'])
export type KeyType = z.infer<typeof KeyType>

/** The form of a whole secret, with any brand. Names and searches are shown or stored, so they must not contain one. */
const SECRET = /[a-z][a-z0-9]{0,15}_(?:dev|prod)_[0-9A-Za-z]{55}/

/** Any Unicode, trimmed, 1 to 64 characters (code points, as Postgres counts them), no control characters, no secret. */
export const KeyName = z
  .string()
  .trim()
  .min(1, 'Enter a name.')
  .refine((name) => [...name].length <= KEY_NAME_LENGTH_MAX, `Use at most ${KEY_NAME_LENGTH_MAX} characters.`)
  .refine(isPlainText, NOT_PLAIN_TEXT)
  .refine((name) => !SECRET.test(name), 'This is a secret, and names are shown: choose another name.')

/** A uuid as Postgres accepts it: any 128 bits, without a check of the version. */
export const KeyId = z.guid()

/** When several apply, the first of revoked, disabled and expired is the status. Only an active key can be charged. */
export const KeyStatus = z.enum(['active', 'disabled', 'expired', 'revoked'])
export type KeyStatus = z.infer<typeof KeyStatus>

/** The most credits that a key may spend in one billing cycle. Null means no limit besides the account's credits. */
const CreditLimit = z
  .int('Enter a whole number up to 9,007,199,254,740,991.')
  .nonnegative('Enter a number that is not negative.')
  .nullable()

/** Accepted with any offset, and stored in UTC. */
const ExpiresAt = z.iso.datetime({ offset: true, error: 'Enter a moment as ISO-8601, like 2027-01-31T12:00:00Z.' }).nullable()

/**
 * A key without its secret. `keyPrefix` contains the brand, the type and the first 8 random characters of its current secret.
 * `isSecretSaved` is false until a person confirms that the secret is saved, or the secret is used: the answer with the secret
 * may be lost, and `keys.replaceLostSecret` replaces it. The previous secret still works until `graceEndsAt`.
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

/** A key with a new secret. No other output contains the secret. */
export const NewKey = Key.extend({ secret: z.string() })
export type NewKey = z.infer<typeof NewKey>

/** `creditsUsed` are the key's charges less its refunds in the current billing cycle, or in the requested one. */
export const KeyWithUsage = Key.extend({ creditsUsed: Credits })
export type KeyWithUsage = z.infer<typeof KeyWithUsage>

export const CreateKey = z.strictObject({
  name: KeyName,
  keyType: KeyType.default('dev'),
  expiresAt: ExpiresAt.default(null),
  creditLimit: CreditLimit.default(null),
})
export type CreateKey = z.infer<typeof CreateKey>

/** The keys that a list contains: keys with one status, live keys (not revoked), or all keys. */
export const KeyFilter = z.enum(['live', ...KeyStatus.options, 'all'])
export type KeyFilter = z.infer<typeof KeyFilter>

export const KeySort = z.enum(['newest', 'oldest', 'name', 'lastUsed'])
export type KeySort = z.infer<typeof KeySort>

/** `search` finds parts of names and key prefixes, and ignores case. */
export const ListKeys = z.strictObject({
  status: KeyFilter.default('live'),
  sort: KeySort.default('newest'),
  search: z
    .string()
    .trim()
    .max(KEY_NAME_LENGTH_MAX)
    .refine(isPlainText, NOT_PLAIN_TEXT)
    .refine(
      (text) => !SECRET.test(text),
      'This is a whole secret, and searches appear in addresses: search for the key prefix instead.',
    )
    .default(''),
  /** `nextCursor` of the previous page. */
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

/** Fields that are left out stay the same. The type cannot change, because the secret contains it. */
export const UpdateKey = KeyRef.extend({
  name: KeyName.optional(),
  expiresAt: ExpiresAt.optional(),
  creditLimit: CreditLimit.optional(),
})
export type UpdateKey = z.infer<typeof UpdateKey>

export const RotateKey = KeyRef.extend({
  /** How long the previous secret still works. */
  graceSeconds: z
    .int('Enter a whole number of seconds.')
    .min(0, 'Enter 0 or more seconds.')
    .max(GRACE_SECONDS_MAX, `Enter at most ${GRACE_SECONDS_MAX} seconds, which is 7 days.`)
    .default(GRACE_SECONDS_DEFAULT),
})
export type RotateKey = z.infer<typeof RotateKey>

/** `keyPrefix` names the lost secret, so that a newer secret is not replaced, e.g. one that another tab requested. */
export const ReplaceLostSecret = KeyRef.extend({ keyPrefix: z.string().max(100) })
export type ReplaceLostSecret = z.infer<typeof ReplaceLostSecret>

/** `keyPrefix` names the saved secret, so that the newer secret of a key that was rotated since stays unsaved. */
export const ConfirmSecretSaved = KeyRef.extend({ keyPrefix: z.string().max(100).optional() })
export type ConfirmSecretSaved = z.infer<typeof ConfirmSecretSaved>

export const KeyOutput = Output.extend(Key.shape)
export const NewKeyOutput = Output.extend(NewKey.shape)
export const KeyWithUsageOutput = Output.extend(KeyWithUsage.shape)
/** `nextCursor` is null on the last page. */
export const ListKeysOutput = Output.extend({ data: z.array(KeyWithUsage), nextCursor: z.string().nullable() })
/**
 * `data` are the live keys. `revokedCreditsUsed` is what revoked keys used in the same cycle: both together are the credits
 * that the account used. `billingCycle` is null until the account exists; then `data` is empty.
 */
export const KeyUsageOutput = Output.extend({
  data: z.array(KeyWithUsage),
  revokedCreditsUsed: Credits,
  billingCycle: BillingCycle.nullable(),
})
