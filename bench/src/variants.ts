import { readFileSync } from 'node:fs'
import { withClient } from '@keymeter/local'
import type { Database } from './cluster.ts'

const MIGRATION = new URL('../../supabase/migrations/20260401000005_create_meter_batch.sql', import.meta.url)
const SIGNATURE = 'meter_batch('

/** Puts another meter_batch in the place of the product's, in this one database. The engine calls it as it is. */
export async function replaceMeterBatch({ urls }: Database, change: (source: string) => string): Promise<void> {
  const source = readFileSync(MIGRATION, 'utf8')
  const changed = change(source).replace(
    `create function public.${SIGNATURE}`,
    `create or replace function public.${SIGNATURE}`,
  )
  await withClient(urls.owner, async (client) => await client.query(changed))
}

/** Without the two roll-ups. */
export function withoutRollUps(source: string): string {
  return ['api_key_cycle_usage', 'api_key_quarter_hour_usage'].reduce(
    (rest, table) => replaceOnce(rest, new RegExp(`    insert into public\\.${table} as kept[^;]*;\n`), ''),
    source,
  )
}

/** The table that remembers idempotency keys in the other variant, and its only index. */
export const CHARGE_REQUESTS =
  'create table public.charge_requests (user_id uuid not null, idempotency_key text not null, primary key (user_id, idempotency_key))'

/**
 * Remembers idempotency keys in a table of their own, without partitions. Who cannot insert has been here before, and is
 * looked for among the events as ever.
 */
export function withChargeRequests(source: string): string {
  let changed = replaceOnce(
    source,
    '  -- Everything that the decision on a key needs, in one look, account by account.\n',
    `  with requested as (
    insert into public.charge_requests (user_id, idempotency_key)
      select item.account, item.idempotency_key
        from unnest(user_ids, key_hashes, idempotency_keys) as item (account, key_hash, idempotency_key)
        join public.api_key_secrets as secrets on secrets.user_id = item.account and secrets.key_hash = item.key_hash
       where item.idempotency_key is not null
      on conflict do nothing
      returning user_id, idempotency_key
  )
  select array_agg(requested.user_id is null order by item.i) into known_before
    from unnest(user_ids, idempotency_keys) with ordinality as item (account, idempotency_key, i)
    left join requested on requested.user_id = item.account and requested.idempotency_key = item.idempotency_key;

  -- Everything that the decision on a key needs, in one look, account by account.
`,
  )
  changed = replaceOnce(changed, 'declare\n', 'declare\n  known_before boolean[];\n')
  return replaceOnce(
    changed,
    '         where events.user_id = given.account and events.idempotency_key = given.idempotency_key\n',
    '         where events.user_id = given.account and events.idempotency_key = given.idempotency_key and known_before[given.i]\n',
  )
}

function replaceOnce(source: string, what: string | RegExp, by: string): string {
  const changed = source.replace(what, () => by)
  if (changed === source) throw new Error(`the migration no longer holds ${what}`)
  return changed
}
