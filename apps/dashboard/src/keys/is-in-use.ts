import type { Key } from '@keymeter/contract'

const RECENTLY_MS = 7 * 86_400_000

/**
 * True if calls with the key perhaps come at any time: the key works, and it was used within the last 7 days. A key that is
 * disabled, expired or revoked is not in use.
 */
export function isInUse({ status, lastUsedAt }: Pick<Key, 'status' | 'lastUsedAt'>): boolean {
  return status === 'active' && lastUsedAt !== null && Date.now() - Date.parse(lastUsedAt) < RECENTLY_MS
}
