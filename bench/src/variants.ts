import { readFileSync } from 'node:fs'
import { withClient } from '@keymeter/local'
import type { Database } from './cluster.ts'

const MIGRATION = new URL('../../supabase/migrations/20260401000005_create_meter_batch.sql', import.meta.url)
const SIGNATURE = 'keymeter.meter_batch('

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
  return ['usage_by_cycle', 'usage_by_quarter_hour'].reduce(
    (rest, table) => replaceOnce(rest, new RegExp(`    insert into public\\.${table} as kept[^;]*;\n`), ''),
    source,
  )
}

/**
 * Decides nothing: each charge is taken for good, new and under a known operation, and only its rows are written, by one
 * set-based statement. What an engine takes that keeps these rows is this, and its decisions.
 */
export function writingAlone(source: string): string {
  const end = source.indexOf('#variable_conflict use_column')
  return `${source.slice(source.indexOf(`create function public.${SIGNATURE}`), end)}#variable_conflict use_column
declare
  v_now timestamptz;
begin
  perform from public.billing_accounts where user_id = any(user_ids) order by user_id for no key update;
  v_now := keymeter.now();
  return query
  with given as materialized (
    select given.i, account, asked, given.idempotency_key, given.operation, secrets.api_key_id as key_id,
           billing_cycle_start as starts_at, billing_cycle_end as ends_at,
           last_event_sequence + row_number() over until_it as sequence,
           (credits_per_cycle - credits_used - sum(asked) over until_it)::bigint as remaining
      from unnest(user_ids, key_hashes, credits, idempotency_keys, operations)
             with ordinality as given (account, key_hash, asked, idempotency_key, operation, i)
      join public.billing_accounts as accounts on accounts.user_id = account
      join public.api_key_secrets as secrets on secrets.user_id = account and secrets.key_hash = given.key_hash
    window until_it as (partition by account order by given.i rows unbounded preceding)
  ), events as (
    insert into public.api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                      credits_requested, credits_charged, remaining, cycle_start, cycle_end, action)
      select account, sequence, v_now, key_id, idempotency_key, operation, 'charged', asked, asked, remaining, starts_at, ends_at, 'charge'
        from given
  ), by_cycle as (
    insert into public.usage_by_cycle as kept (user_id, cycle_start, api_key_id, credits_charged, charges)
      select account, starts_at, key_id, sum(asked), count(*) from given group by 1, 2, 3 order by 1, 3
      on conflict (user_id, api_key_id, cycle_start) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges
  ), by_quarter_hour as (
    insert into public.usage_by_quarter_hour as kept (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
      select account, starts_at, key_id, operation, date_bin('15 minutes', v_now, 'epoch'), sum(asked), count(*)
        from given group by 1, 2, 3, 4 order by 1, 3, 4
      on conflict (user_id, api_key_id, cycle_start, operation, quarter_hour) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges
  ), balances as (
    update public.billing_accounts as accounts
       set credits_used = credits_used + batch.asked, last_event_sequence = batch.sequence, last_event_at = v_now
      from (select account, sum(asked)::bigint as asked, max(sequence) as sequence from given group by account) as batch
     where accounts.user_id = batch.account
  )
  select 'charged', false, given.sequence, key_id, 'dev', asked, asked, given.remaining, ends_at, null::timestamptz from given order by i;
end
$$`
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
