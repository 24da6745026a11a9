import { type Key, KeyType } from '@keymeter/contract'

/** What is read of a key wherever one is shown. */
export const KEY_COLUMNS = [
  'api_keys.id as id',
  'api_keys.name as name',
  'api_keys.key_prefix as keyPrefix',
  'api_keys.key_type as keyType',
  'api_keys.created_at as createdAt',
  'api_keys.last_used_at as lastUsedAt',
] as const

interface KeyRow {
  id: string
  name: string
  keyPrefix: string
  keyType: string
  createdAt: Date
  lastUsedAt: Date | null
}

/** A key as it crosses the wire. */
export function toKey(row: KeyRow): Key {
  return {
    id: row.id,
    name: row.name,
    keyPrefix: row.keyPrefix,
    keyType: KeyType.parse(row.keyType),
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}
