import { sql } from 'kysely'
import { recordAudit } from '../audit/record.ts'
import { readClock } from '../clock.ts'
import type { Scope } from '../scope.ts'

/**
 * Suspends an account: from the next call on, its charges and holds are refused. Open holds can still be settled or released.
 */
export async function suspendAccount(scope: Scope): Promise<void> {
  await setSuspended(scope, true)
}

export async function resumeAccount(scope: Scope): Promise<void> {
  await setSuspended(scope, false)
}

async function setSuspended(scope: Scope, isSuspended: boolean): Promise<void> {
  const { rows } = await sql<{
    changed: boolean
  }>`select keymeter.set_suspended(${scope.userId}, ${isSuspended}) as changed`.execute(scope.db)
  if (rows[0]?.changed !== true) return
  const action = isSuspended ? 'account.suspended' : 'account.resumed'
  await recordAudit(scope, await readClock(scope), { action, actor: 'operator', keyId: null })
}
