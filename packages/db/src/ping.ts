import { sql } from 'kysely'
import type { Db } from './client.ts'

/**
 * Checks that the database answers and accepts writes.
 *
 * @throws Error with the reason. The SQLSTATE is 25006 if the database is a standby or accepts no writes for another reason. As
 *   for every error with this SQLSTATE, the pool then closes its connections.
 */
export async function ping(db: Db): Promise<void> {
  await sql`
    do $$ begin
      if current_setting('transaction_read_only')::boolean then
        raise read_only_sql_transaction using message = 'the database accepts no writes';
      end if;
    end $$`.execute(db)
}
