import type { Database } from './cluster.ts'

/** Adds operations to every account, so that no charge has to. */
export async function addOperations({ owner }: Database, operations: string[]): Promise<void> {
  await owner.query('insert into operations select user_id, operation from billing_accounts, unnest($1::text[]) as operation', [
    operations,
  ])
  await owner.query('vacuum analyze operations')
}

/** Deletes the operations that were added and never charged, because `reconcile` reports an operation without events. */
export async function deleteUnusedOperations({ owner }: Database): Promise<void> {
  await owner.query(
    `delete from operations where (user_id, operation) not in (select distinct user_id, operation from api_key_usage)`,
  )
}
