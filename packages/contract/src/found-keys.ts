import { z } from 'zod'
import { Key } from './keys.ts'
import { Timestamp } from './output.ts'
import { hasNoWholeSecret } from './whole-secret.ts'

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
