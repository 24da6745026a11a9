import {
  findAccount,
  findKeys,
  getKey,
  type OperatorCall,
  operate,
  readAsOperator,
  readClock,
  revokeKeyOfCustomer,
} from '@keymeter/api/server'
import { FindKeyBySecret, type FoundKey, type Key, RevokeKeyOfCustomer } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { SECRET_FAULTS } from './find-key.ts'

export interface RevokeOptions {
  /** The id of the account, or the address of its user. It is needed with the id of a key. */
  account?: string
  reason?: string
  /** True if nobody needs to confirm. */
  yes?: true
}

/**
 * Revokes a key of a customer: the key with an id, or the key of a whole secret.
 *
 * @param confirm asks a person. Null means that nobody can be asked. The command then needs the option `yes`.
 */
export async function revokeKey(
  call: OperatorCall,
  wanted: { keyId: string } | FindKeyBySecret,
  { account, reason, yes }: RevokeOptions,
  confirm: ((question: string) => Promise<boolean>) | null,
): Promise<CommandResult> {
  const { accountId, key } =
    'keyId' in wanted ? await readKey(call, wanted.keyId, account) : await readKeyOfSecret(call, wanted)
  const input = RevokeKeyOfCustomer.parse({ keyId: key.id, reason })
  if (key.revokedAt === null && yes !== true) {
    if (confirm === null) throw new Error('A revoke cannot be undone. Pass --yes to confirm it.')
    if (!(await confirm(`${describeKey(key)} of account ${accountId} will stop working. This cannot be undone. Revoke it?`)))
      return { json: { accountId, isRevoked: false, key }, text: 'Nothing was changed.', isOk: false }
  }
  const { result } = await operate(call, accountId, async (scope) => await revokeKeyOfCustomer(scope, input))
  const isRevoked = result.before.revokedAt === null
  return { json: { accountId, isRevoked, key: result.after }, text: describe(result), isOk: true }
}

async function readKey(call: OperatorCall, id: string, account: string | undefined): Promise<{ accountId: string; key: Key }> {
  const { keyId } = RevokeKeyOfCustomer.parse({ keyId: id })
  if (account === undefined) throw new Error('Name the account of the key with --account. `find-key` prints it.')
  const accountId = await findAccount(call.db, account)
  return await readAsOperator(call, 'revoke-key', async (_, scopeOf) => {
    const scope = scopeOf(accountId)
    return { result: { accountId, key: await getKey(scope, keyId, await readClock(scope)) }, account: accountId, search: keyId }
  })
}

async function readKeyOfSecret(call: OperatorCall, wanted: FindKeyBySecret): Promise<FoundKey> {
  const input = FindKeyBySecret.parse(wanted)
  return await readAsOperator(call, 'revoke-key', async (transaction, scopeOf) => {
    const { keys, fault } = await findKeys(transaction, scopeOf, input, call.keyBrand)
    const [found] = keys
    if (found === undefined) throw new Error(SECRET_FAULTS[fault ?? 'unknown'])
    return { result: found, account: found.accountId, search: found.key.id }
  })
}

function describe({ before, after }: { before: Key; after: Key }): string {
  const lastUse = after.lastUsedAt === null ? 'It was never used.' : `It was last used at ${after.lastUsedAt}.`
  if (before.revokedAt !== null)
    return `${describeKey(before)} was already revoked at ${before.revokedAt}. Nothing was changed. ${lastUse}`
  const secrets = before.graceEndsAt === null ? 'Its secret is' : 'Its current secret and its previous secrets are'
  return [
    `Revoked: ${describeKey(after)}. ${lastUse}`,
    `${secrets} refused from now on. Holds that the key made can still be settled or released.`,
  ].join('\n')
}

function describeKey({ name, keyPrefix, keyType, id }: Key): string {
  return `The ${keyType} key "${name}" (${keyPrefix}…, ${id})`
}
