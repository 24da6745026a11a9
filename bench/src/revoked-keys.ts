import type { Database } from './cluster.ts'

/** Adds revoked keys to the account, each with a secret. `loadEvents` then gives usage to each of them. */
export async function addRevokedKeys({ owner }: Database, userId: string, count: number): Promise<void> {
  await owner.query(
    `with revoked as (
       insert into api_keys (user_id, name, created_at, revoked_at)
         select $1, 'revoked ' || n, billing_cycle_start + n * interval '1 second', now()
           from billing_accounts cross join generate_series(1, $2::int) as n where user_id = $1
       returning user_id, id)
     insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix)
       select user_id, id, sha256(convert_to(id::text, 'utf8')), 'km_dev_' || substr(md5(id::text), 1, 8) from revoked`,
    [userId, count],
  )
}
