import { ALERTS_LISTED_MAX, type Alert, AlertKind } from '@keymeter/contract'
import { sql } from 'kysely'
import { readInIndexOrder } from '../read-in-index-order.ts'
import type { Scope } from '../scope.ts'

/**
 * Lists the newest alerts first. Alerts of one batch have the same time. Of these, the threshold that was reached last comes
 * first: usage grows, so this is the largest percentage, and what is left falls, so this is the smallest number of credits. The
 * query reads only the listed alerts, in the order of `alerts_time_idx`.
 */
export async function listAlerts(scope: Scope): Promise<Alert[]> {
  await readInIndexOrder(scope)
  const rows = await scope.db
    .selectFrom('alerts')
    .select(['kind', 'threshold', 'created_at', 'cycle_start', 'plan', 'credits_used', 'credits_left', 'credits_granted'])
    .where('user_id', '=', scope.userId)
    .orderBy('created_at', 'desc')
    .orderBy('kind', 'desc')
    .orderBy(sql`case kind when 'percent' then threshold else -threshold end`, 'desc')
    .limit(ALERTS_LISTED_MAX)
    .execute()
  return rows.map((row) => ({
    kind: AlertKind.parse(row.kind),
    threshold: row.threshold,
    at: row.created_at.toISOString(),
    cycleStart: row.cycle_start.toISOString(),
    plan: row.plan,
    creditsPerCycle: row.credits_granted,
    creditsUsed: row.credits_used,
    creditsLeft: row.credits_left,
  }))
}
