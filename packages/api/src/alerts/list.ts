import type { Alert } from '@keymeter/contract'
import type { Scope } from '../scope.ts'

/** The maximum number of listed alerts: 13 cycles (one year and the current cycle) with 10 thresholds each. */
const ALERTS_MAX = 130

/** Lists the newest alerts first. The query uses the primary key. A cycle has few alerts, so sorting them by time is cheap. */
export async function listAlerts({ db, userId }: Scope): Promise<Alert[]> {
  const rows = await db
    .selectFrom('alerts')
    .select(['threshold', 'created_at', 'cycle_start', 'credits_used', 'credits_granted'])
    .where('user_id', '=', userId)
    .orderBy('cycle_start', 'desc')
    .orderBy('created_at', 'desc')
    .orderBy('threshold', 'desc')
    .limit(ALERTS_MAX)
    .execute()
  return rows.map((row) => ({
    threshold: row.threshold,
    at: row.created_at.toISOString(),
    cycleStart: row.cycle_start.toISOString(),
    creditsUsed: row.credits_used,
    creditsPerCycle: row.credits_granted,
  }))
}
