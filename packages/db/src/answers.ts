import { sql } from 'kysely'
import type { Db } from './client.ts'

/** True while the database answers a query. */
export async function answers(db: Db): Promise<boolean> {
  return await sql`select 1`.execute(db).then(
    () => true,
    () => false,
  )
}
