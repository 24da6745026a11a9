import type { Cycle } from '../billing/cycle.ts'
import type { Scope } from '../scope.ts'

/**
 * The credits that each of the keys `keyIds` used in `cycle`, by key; one without usage is absent. From
 * `api_key_usage_key_time_idx` alone.
 */
export async function creditsUsed({ db, userId }: Scope, cycle: Cycle, keyIds: string[]): Promise<Map<string, number>> {
  if (keyIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('api_key_usage')
    .select((eb) => ['api_key_id as keyId', eb.fn.sum<number>('credits_charged').as('creditsUsed')])
    .where('user_id', '=', userId)
    .where('api_key_id', 'in', keyIds)
    .where('created_at', '>=', cycle.start)
    .where('created_at', '<', cycle.end)
    .groupBy('api_key_id')
    .execute()
  return new Map(rows.map((row) => [row.keyId, row.creditsUsed]))
}
