import type { Database } from './cluster.ts'

/**
 * Adds the operations to every account. Otherwise the first charge of each operation would be slower, because it would add the
 * operation.
 */
export async function addOperations({ owner }: Database, operations: string[]): Promise<void> {
  await owner.query('insert into operations select user_id, operation from billing_accounts, unnest($1::text[]) as operation', [
    operations,
  ])
  await owner.query('vacuum analyze operations')
}

/** Deletes operations that were never charged. Otherwise `reconcile` would report them, because they have no events. */
export async function deleteUnusedOperations({ owner }: Database): Promise<void> {
  await owner.query(
    `delete from operations where (user_id, operation) not in (select distinct user_id, operation from api_key_usage)`,
  )
}
