import type { Database } from './cluster.ts'

/**
 * Adds audit entries to the account: updates and rotations of two keys. Their hashes form no chain, because only
 * `verify-audit` reads the chain.
 */
export async function addAuditEntries({ owner }: Database, userId: string, count: number): Promise<void> {
  await owner.query(
    `insert into audit_log (user_id, sequence, actor, actor_id, action, api_key_id, detail, request_id, created_at, hash)
     select user_id, audit_length + n, 'member', user_id, case when n % 2 = 0 then 'key.updated' else 'key.rotated' end,
            case when n % 3 = 0 then keys.ids[1] else keys.ids[2] end, '{}', gen_random_uuid()::text,
            now() + n * interval '1 ms', sha256('')
       from billing_accounts
      cross join (select array_agg(id) as ids from api_keys where user_id = $1 and revoked_at is null) as keys
      cross join generate_series(1, $2::int) as n
      where user_id = $1`,
    [userId, count],
  )
  await owner.query('update billing_accounts set audit_length = audit_length + $2 where user_id = $1', [userId, count])
  await owner.query('vacuum analyze audit_log')
}
