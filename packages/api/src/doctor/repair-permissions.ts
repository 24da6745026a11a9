import { comparePermissions, type Db, PERMISSIONS_QUERY, type Permission, policyName } from '@keymeter/db'
import { sql } from 'kysely'

/** If a lock takes longer than this, the repair fails, and nothing has changed. Charges wait behind the repair. */
const LOCK_TIMEOUT_MS = 5_000

/**
 * Restores the role of the server, all rights and all policies, in one transaction. A restored dump lacks them if the role did
 * not exist. `db` must be the handle of the database's owner, and all migrations must be applied.
 *
 * @param scripts The texts of roles.sql and permissions.sql of supabase/schemas, which can be applied again.
 */
export async function repairPermissions(db: Db, scripts: readonly string[]): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`set local lock_timeout = ${sql.lit(LOCK_TIMEOUT_MS)}`.execute(transaction)
    // A changed policy has the name of the policy that the script creates, so it must be dropped first.
    await removeAdditional(transaction)
    for (const script of scripts) await sql.raw(script).execute(transaction)
    await removeAdditional(transaction)
  })
}

/** Drops all policies that the migrations do not create, and turns row level security on. */
async function removeAdditional(db: Db): Promise<void> {
  const { rows } = await sql.raw<Permission>(PERMISSIONS_QUERY).execute(db)
  for (const permission of comparePermissions(rows).additional) {
    const table = sql.raw(permission.object.replace(/^\w+ /, ''))
    const policy = policyName(permission)
    if (permission.fact === 'row level security is off') await sql`alter table ${table} enable row level security`.execute(db)
    if (policy !== null) await sql`drop policy ${sql.id(policy)} on ${table}`.execute(db)
  }
}
