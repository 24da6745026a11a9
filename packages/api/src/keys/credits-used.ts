import { sql } from 'kysely'
import type { Scope } from '../scope.ts'

/**
 * The credits that each of the keys `keyIds` used in the billing cycle that starts at `cycleStart`, by key; one without
 * usage is absent. From the roll-up's primary key: one row a key, however much it was used.
 */
export async function creditsUsed({ db, userId }: Scope, cycleStart: Date, keyIds: string[]): Promise<Map<string, number>> {
  if (keyIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_key_cycle_usage')
    .select(['api_key_id as keyId', 'credits_charged as creditsUsed'])
    .where('user_id', '=', userId)
    .where('cycle_start', '=', cycleStart)
    .where('api_key_id', '=', sql<string>`any(${keyIds}::uuid[])`)
    .execute()
  return new Map(rows.map((row) => [row.keyId, row.creditsUsed]))
}
