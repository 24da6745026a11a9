import { z } from 'zod'
import { Answer, Timestamp } from './answer.ts'
import { BillingCycle } from './billing.ts'

export const KEY_NAME_LENGTH_MAX = 64

/** A label for now: both types spend the same credits. */
export const KeyType = z.enum(['dev', 'prod'])
export type KeyType = z.infer<typeof KeyType>

/**
 * Any Unicode, trimmed, 1 to 64 characters (code points, as Postgres counts them), no control characters. A lone
 * surrogate is no character and would change on its way into UTF-8, so it is refused too.
 */
export const KeyName = z
  .string()
  .trim()
  .min(1, 'Enter a name.')
  .refine((name) => [...name].length <= KEY_NAME_LENGTH_MAX, `Use at most ${KEY_NAME_LENGTH_MAX} characters.`)
  .refine((name) => name.isWellFormed() && !/\p{Cc}/u.test(name), 'Leave out control characters.')

/** As Postgres reads a uuid: any 128 bits, whatever their version says. */
export const KeyId = z.guid()

/** A key as the dashboard lists it. `keyPrefix` shows brand, type and the first 8 random characters of the secret. */
export const Key = z.object({
  id: KeyId,
  name: z.string(),
  keyPrefix: z.string(),
  keyType: KeyType,
  createdAt: Timestamp,
  lastUsedAt: Timestamp.nullable(),
})
export type Key = z.infer<typeof Key>

/** A key at its birth: the only time that its `secret` is shown. */
export const NewKey = Key.omit({ lastUsedAt: true }).extend({ secret: z.string() })
export type NewKey = z.infer<typeof NewKey>

/** `creditsUsed` is the key's net credits in the current billing cycle. */
export const KeyWithUsage = Key.extend({ creditsUsed: z.int().nonnegative() })
export type KeyWithUsage = z.infer<typeof KeyWithUsage>

export const CreateKey = z.strictObject({ name: KeyName, keyType: KeyType.default('dev') })
export type CreateKey = z.infer<typeof CreateKey>

export const RevokeKey = z.strictObject({ id: KeyId })
export type RevokeKey = z.infer<typeof RevokeKey>

export const CreateKeyAnswer = Answer.extend(NewKey.shape)
export const ListKeysAnswer = Answer.extend({ data: z.array(Key) })
/** `billingCycle` is null until the account has been provisioned; `data` is empty then. */
export const KeyUsageAnswer = Answer.extend({ data: z.array(KeyWithUsage), billingCycle: BillingCycle.nullable() })
export const RevokeKeyAnswer = Answer.extend({ ...Key.shape, revokedAt: Timestamp })
