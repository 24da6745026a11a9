import { readFileSync } from 'node:fs'
import { withClient } from '@keymeter/local'
import type { Database } from './cluster.ts'

const SCHEMA_FILES = new URL('../../supabase/schemas/functions/metering/', import.meta.url)

/** Changes `record_usage`, so that charges do not write the roll-ups by cycle and by 15-minute bucket. */
export async function removeRollUps(database: Database): Promise<void> {
  await replaceBody(database, 'record_usage', 'begin\nend')
}

/**
 * Changes `meter_batch`, so that it writes rows without any decision. It treats every item as a successful charge, with a new
 * idempotency key and a known operation. One statement writes all rows of a batch. No engine that writes the same rows can be
 * faster.
 */
export async function removeDecisions(database: Database): Promise<void> {
  await replaceBody(database, 'meter_batch', WRITE_ONLY)
}

/**
 * Checks that the charges used the variant of `removeDecisions`. This variant does not write `last_used_at`.
 *
 * @throws Error if a key has a `last_used_at`.
 */
export async function assertDecisionsRemoved({ owner }: Database): Promise<void> {
  const { rows } = await owner.query('select from api_keys where last_used_at is not null limit 1')
  if (rows.length > 0) throw new Error('the variant without decisions was not used')
}

/**
 * Replaces the body of a SQL function of the product in one database. The signature is read from the schema file of the
 * function, so the product and the variant have the same signature.
 *
 * @throws Error if the function in the database differs from the schema file.
 */
async function replaceBody({ urls }: Database, name: string, body: string): Promise<void> {
  const source = readFileSync(new URL(`${name}.sql`, SCHEMA_FILES), 'utf8')
  const [head = '', original, tail, ...rest] = source.split('$$')
  if (tail === undefined || rest.length > 0) throw new Error(`${name}.sql must contain one function`)
  await withClient(urls.owner, async (client) => {
    const find = async (text: string | undefined) => {
      const { rows } = await client.query<{ oid: number; prosrc: string }>(
        "select oid, prosrc from pg_proc where pronamespace = 'keymeter'::regnamespace and proname = $1",
        [name],
      )
      if (rows.length === 1 && rows[0]?.prosrc === text) return rows[0]?.oid
      throw new Error(`keymeter.${name} differs from its schema file, or is not the only function of that name`)
    }
    await client.query('begin')
    const before = await find(original)
    await client.query(`${head.replace('create function', 'create or replace function')}$$${body}$$${tail}`)
    if ((await find(body)) !== before) throw new Error(`the variant of keymeter.${name} is another function`)
    await client.query('commit')
  })
}

const WRITE_ONLY = `
#variable_conflict use_column
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
  select 'charged', false, given.sequence, key_id, 'dev', asked, asked, given.remaining, null::bigint, ends_at, null::timestamptz from given order by i;
end
`
