import { comparePermissions, isOpening, PERMISSIONS_QUERY, type Permission, policyName, type RunSql } from '@keymeter/db'

const FAULTS_LISTED_MAX = 10

/** The database lets somebody read or change what only Keymeter's server may read or change. */
export class UnprotectedDatabaseError extends Error {
  override name = 'UnprotectedDatabaseError'
  /** The SQLSTATE `cannot_connect_now`. With this code, a refused call gets the reason `database_unavailable`. */
  code = '57P03'
}

/**
 * Checks that the database is protected, with the login of the server. It checks only what would be dangerous: that nobody else
 * has rights on objects of Keymeter, that no policy is missing, and that row level security applies to this login. `keymeter
 * doctor` checks more. Additional rights of the server's own role are allowed, so the server also starts on a database that a
 * newer release has migrated.
 *
 * @throws UnprotectedDatabaseError
 */
export async function requireProtection(run: RunSql): Promise<void> {
  const { rows } = await run(PERMISSIONS_QUERY)
  const actual = rows as Permission[]
  const { missing, additional } = comparePermissions(actual)
  if (!actual.some(({ object, fact }) => object === 'table public.billing_accounts' && fact === 'exists'))
    throw new UnprotectedDatabaseError('The database has no tables of Keymeter. Run `keymeter migrate`.')
  const policies = new Set(actual.map(policyOf))
  const lost = missing.map(policyOf).filter((policy) => policy !== null && !policies.has(policy))
  const faults = [
    ...additional.filter(isOpening).map(({ object, fact }) => `${object}: ${fact}`),
    ...lost.map((policy) => `${policy} is missing`),
  ]
  // Row level security does not apply to a superuser, to a role that bypasses it, and to the owner of a table.
  const bypassed = await run(
    `select current_user as role, oid::regclass::text as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relrowsecurity and not row_security_active(oid) order by name`,
  )
  const [first, ...others] = bypassed.rows as { role: string; name: string }[]
  if (first !== undefined) {
    const tables = others.length === 0 ? `table ${first.name}` : `table ${first.name} and ${others.length} more`
    faults.push(`role ${first.role}: row level security does not apply to ${tables}. DATABASE_URL must log in as keymeter_api.`)
  }
  if (faults.length === 0) return
  const more = faults.length > FAULTS_LISTED_MAX ? [`and ${faults.length - FAULTS_LISTED_MAX} more`] : []
  const lines = [...faults.slice(0, FAULTS_LISTED_MAX), ...more].map((line) => `  ${line}`).join('\n')
  throw new UnprotectedDatabaseError(
    `Keymeter does not run on this database, because the database is not protected:\n${lines}\nRun "keymeter doctor". It shows how to repair the database.`,
  )
}

/** Returns the table and the name of the policy that the fact describes. Null if the fact is not a policy. */
function policyOf(permission: Permission): string | null {
  const name = policyName(permission)
  return name === null ? null : `${permission.object}: policy "${name}"`
}
