import { findKeys, type OperatorCall, readAsOperator, type SecretFault } from '@keymeter/api/server'
import { FindKeyBySecret, FindKeysByPrefix, type FoundKey } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { countCredits } from './count-credits.ts'

export const SECRET_FAULTS = {
  not_a_secret: 'This is not a secret: a secret is a brand, dev or prod, and 55 letters and digits, joined by _.',
  wrong_checksum: 'The checksum of this secret is wrong: it was never valid, or a character is missing or changed.',
  other_brand:
    'This secret has another brand than this deployment, and it is not in the database: it belongs to another deployment.',
  unknown: 'This secret is not in the database: it belongs to another deployment, or its account was deleted.',
} as const satisfies Record<SecretFault, string>

/**
 * Finds the owner of a secret that was found somewhere, e.g. by a secret scanner. The result does not contain the secret.
 *
 * @param wanted is a key prefix, or a whole secret from the standard input.
 */
export async function showKeys(call: OperatorCall, wanted: FindKeysByPrefix | FindKeyBySecret): Promise<CommandResult> {
  const input = 'keyPrefix' in wanted ? FindKeysByPrefix.parse(wanted) : FindKeyBySecret.parse(wanted)
  const found = await readAsOperator(call, 'find-key', async (transaction, scopeOf) => {
    const result = await findKeys(transaction, scopeOf, input, call.keyBrand)
    const accounts = new Set(result.keys.map(({ accountId }) => accountId))
    // A whole secret is recorded as its key prefix, and only if it was found.
    const search = 'keyPrefix' in input ? input.keyPrefix : (result.keys[0]?.secret.keyPrefix ?? null)
    return { result, account: accounts.size === 1 ? (result.keys[0]?.accountId ?? null) : null, search }
  })
  const { keys, hasMore, fault } = found
  const lines = keys.map(describe)
  if (fault !== null) lines.push(SECRET_FAULTS[fault])
  else if (keys.length === 0) lines.push('No secret with this key prefix is in the database.')
  if (hasMore) lines.push('More secrets have this key prefix. Pass the whole secret on standard input to find one key.')
  return { json: found, text: lines.join('\n\n'), isOk: keys.length > 0 }
}

const STATES = {
  current: 'the current secret of the key',
  previous: 'a previous secret of the key, in its grace period',
  ended: 'a previous secret of the key, which has ended',
} as const satisfies Record<FoundKey['secret']['state'], string>

function describe({ accountId, email, key, secret }: FoundKey): string {
  const lines = {
    secret: `${secret.keyPrefix}…, ${STATES[secret.state]}${secret.validUntil === null ? '' : ` (${secret.validUntil})`}`,
    'works now': secret.isWorking ? 'yes' : 'no',
    'last use': secret.lastUsedAt ?? 'never',
    account: `${email ?? 'no address'} (${accountId})`,
    key: `"${key.name}" (${key.id})`,
    type: key.keyType,
    status: key.status,
    limit: key.creditLimit === null ? 'none' : `${countCredits(key.creditLimit)} per cycle`,
    'last use of key': key.lastUsedAt ?? 'never',
  }
  const width = Math.max(...Object.keys(lines).map((name) => name.length))
  const next =
    key.revokedAt === null
      ? `To revoke the key: keymeter revoke-key ${key.id} --account ${accountId} --reason "The secret was found in public"`
      : `The key is already revoked, since ${key.revokedAt}.`
  return [...Object.entries(lines).map(([name, value]) => `${name.padEnd(width)}  ${value}`), next].join('\n')
}
