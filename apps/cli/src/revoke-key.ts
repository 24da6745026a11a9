import { findAccount, getKey, operate, readAsOperator, readClock, revokeKeyOfCustomer } from '@keymeter/api/server'
import { type Key, RevokeKeyOfCustomer } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { operatorCall } from './operator-call.ts'

export interface RevokeOptions {
  account?: string
  reason?: string
  /** True if nobody needs to confirm. */
  yes?: true
}

/**
 * Revokes a key of a customer.
 *
 * @param confirm asks a question on the terminal. Resolves to true if the person agrees. Null if there is no terminal: then the
 *   command needs `yes`.
 */
export async function revokeKey(
  db: Db,
  id: string,
  { account, reason, yes }: RevokeOptions & { account: string },
  confirm: ((question: string) => Promise<boolean>) | null,
): Promise<CommandResult> {
  const input = RevokeKeyOfCustomer.parse({ keyId: id, reason })
  const accountId = await findAccount(db, account)
  const call = operatorCall(db)
  const key = await readAsOperator(call, 'revoke-key', async (_, scopeOf) => {
    const scope = scopeOf(accountId)
    return { result: await getKey(scope, input.keyId, await readClock(scope)), account: accountId, search: input.keyId }
  })
  if (key.revokedAt === null && yes !== true) {
    if (confirm === null) throw new Error('A revoke cannot be undone. Pass --yes to confirm it.')
    if (!(await confirm(`${describeKey(key)} of account ${accountId} will stop working. This cannot be undone. Revoke it?`)))
      return { json: { accountId, isRevoked: false, key }, text: 'Nothing was changed.', isOk: false }
  }
  const { result } = await operate(call, accountId, async (scope) => await revokeKeyOfCustomer(scope, input))
  return {
    json: { accountId, isRevoked: result.before.revokedAt === null, key: result.after },
    text: describe(result),
    isOk: true,
  }
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
