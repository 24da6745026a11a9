import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
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

/** Changes nothing if the account is already in this state. A change adds an entry to the audit log. */
async function setSuspended(scope: Scope, isSuspended: boolean): Promise<void> {
  await sql`select keymeter.set_suspended(${scope.userId}, ${isSuspended}, ${originOf(scope)})`.execute(scope.db)
}
