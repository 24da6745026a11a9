import { sql } from 'kysely'
import type { Db } from './client.ts'

/** @throws Error if the database does not answer a query. The error contains the reason. */
export async function ping(db: Db): Promise<void> {
  await sql`select 1`.execute(db)
}
