import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { type Finding, fault, ok } from './finding.ts'

/**
 * The most connections of one server process with the default settings: 10 for calls, 8 for charges, 1 that listens, and 1 for
 * `/readyz`.
 */
const CONNECTIONS_PER_PROCESS = 20

/** Compares the connections that Postgres allows with those that one more server process needs. */
export async function checkConnectionLimit(db: Db): Promise<Finding> {
  const { rows } = await sql<{ allowed: number; used: number; roleLimit: number | null }>`
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
             - coalesce(current_setting('reserved_connections', true), '0')::int as allowed,
           (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
           (select nullif(rolconnlimit, -1) from pg_roles where rolname = 'keymeter_api') as "roleLimit"`.execute(db)
  const [{ allowed, used, roleLimit } = { allowed: 0, used: 0, roleLimit: null }] = rows
  const limit = Math.min(allowed, roleLimit ?? allowed)
  const message = `Postgres allows ${limit}, and ${used} are in use. With the default settings, a server process uses at most ${CONNECTIONS_PER_PROCESS}.`
  return limit < CONNECTIONS_PER_PROCESS
    ? fault('connection limit', message, 'Raise max_connections, or use a pooler in transaction mode.')
    : ok('connection limit', message)
}

/** Checks that billing cycles do not depend on the time zone of a session, and that texts are stored as UTF-8. */
export async function checkDatabaseSettings(db: Db): Promise<Finding> {
  const { rows } = await sql<{ encoding: string }>`select current_setting('server_encoding') as encoding`.execute(db)
  if (rows[0]?.encoding !== 'UTF8')
    return fault(
      'database settings',
      `The encoding is ${rows[0]?.encoding}, but the hashes of the audit log need UTF8.`,
      'Restore the data into a database with the encoding UTF8.',
    )
  const boundaries = new Set<string>()
  for (const timeZone of ['UTC', 'Pacific/Kiritimati', 'America/New_York'])
    await db.transaction().execute(async (transaction) => {
      await sql`select set_config('timezone', ${timeZone}, true)`.execute(transaction)
      const { rows: found } = await sql<{ boundary: string }>`
        select extract(epoch from keymeter.cycle_end('2027-01-31T23:30:00Z', '2027-02-28T23:30:00Z'))::text as boundary`.execute(
        transaction,
      )
      boundaries.add(found[0]?.boundary ?? '')
    })
  return boundaries.size === 1
    ? ok('database settings', 'The encoding is UTF8, and billing cycles do not depend on the time zone of a session.')
    : fault(
        'database settings',
        'The functions of the billing cycles depend on the time zone of a session.',
        'Compare the functions of the schema keymeter with supabase/schemas.',
      )
}
