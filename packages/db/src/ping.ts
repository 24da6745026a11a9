import { sql } from 'kysely'
import type { Db } from './client.ts'

/** @throws Error when the database does not answer, with the reason. */
export async function ping(db: Db): Promise<void> {
  await sql`select 1`.execute(db)
}
