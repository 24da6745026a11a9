import type { Db } from '@keymeter/db'
import { type RawBuilder, sql } from 'kysely'

/** Something that is kept and is not what the events say. `subject` says where: a cycle, a key, an operation. */
export interface Difference {
  userId: string
  what: string
  subject: string
  kept: string
  counted: string
}

type Row = Omit<Difference, 'what'>

/** Moments as text, the same whatever the session's settings. */
const utc = (column: string) => sql.raw(`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)

/**
 * What is kept, by what it must be: each query names the rows where the two differ. Events are the truth; balances,
 * roll-ups and cycles are computed from them anew.
 */
const RECKONINGS: Record<string, RawBuilder<Row>> = {
  balance: sql`
    select accounts.user_id as "userId", 'cycle ' || ${utc('billing_cycle_start')} as subject,
           credits_used::text as kept, coalesce(counted.credits, 0)::text as counted
      from billing_accounts as accounts
      left join (select user_id, cycle_start, sum(credits_charged) as credits from api_key_usage group by 1, 2) as counted
        on counted.user_id = accounts.user_id and counted.cycle_start = billing_cycle_start
     where credits_used <> coalesce(counted.credits, 0)`,
  'last event': sql`
    select accounts.user_id as "userId", 'sequence and time' as subject,
           last_sequence || ', ' || coalesce(${utc('last_event_at')}, 'never') as kept,
           coalesce(counted.last, 0) || ', ' || coalesce(${utc('counted.at')}, 'never') as counted
      from billing_accounts as accounts
      left join (select user_id, max(sequence) as last, max(created_at) as at from api_key_usage group by 1) as counted using (user_id)
     where last_sequence <> coalesce(counted.last, 0) or last_event_at is distinct from counted.at`,
  'sequence of events': sql`
    select user_id as "userId", 'event ' || sequence as subject, coalesce(before::text, 'none') as kept, (sequence - 1)::text as counted
      from (select user_id, sequence, lag(sequence) over (partition by user_id order by sequence) as before from api_key_usage) as events
     where before is distinct from nullif(sequence - 1, 0)`,
  'event itself': sql`
    select user_id as "userId", 'event ' || sequence as subject,
           verdict || ' ' || credits_charged || ' at ' || ${utc('created_at')} as kept,
           'asked ' || credits_requested || ', cycle ' || ${utc('cycle_start')} || ' to ' || ${utc('cycle_end')} as counted
      from api_key_usage
     where credits_charged <> case when verdict = 'charged' then credits_requested else 0 end
        or created_at < cycle_start or created_at >= cycle_end or remaining < 0`,
  'roll-up by cycle': sql`
    select coalesce(kept.user_id, counted.user_id) as "userId",
           'key ' || coalesce(kept.api_key_id, counted.api_key_id) || ', cycle ' || ${utc('coalesce(kept.cycle_start, counted.cycle_start)')} as subject,
           coalesce(kept.credits_charged || ' in ' || kept.charges, 'none') as kept,
           coalesce(counted.credits || ' in ' || counted.charges, 'none') as counted
      from api_key_cycle_usage as kept
      full join (select user_id, api_key_id, cycle_start, sum(credits_charged) as credits, count(*) as charges
                   from api_key_usage where verdict = 'charged' group by 1, 2, 3) as counted
        on (counted.user_id, counted.api_key_id, counted.cycle_start) = (kept.user_id, kept.api_key_id, kept.cycle_start)
     where (kept.credits_charged, kept.charges) is distinct from (counted.credits, counted.charges)`,
  'roll-up by quarter of an hour': sql`
    select coalesce(kept.user_id, counted.user_id) as "userId",
           'key ' || coalesce(kept.api_key_id, counted.api_key_id) || ', ' || coalesce(kept.operation, counted.operation)
             || ', ' || ${utc('coalesce(kept.quarter_hour, counted.quarter_hour)')} as subject,
           coalesce(kept.credits_charged || ' in ' || kept.charges, 'none') as kept,
           coalesce(counted.credits || ' in ' || counted.charges, 'none') as counted
      from api_key_quarter_hour_usage as kept
      full join (select user_id, api_key_id, cycle_start, operation, date_bin('15 minutes', created_at, 'epoch') as quarter_hour,
                        sum(credits_charged) as credits, count(*) as charges
                   from api_key_usage where verdict = 'charged' group by 1, 2, 3, 4, 5) as counted
        on (counted.user_id, counted.api_key_id, counted.cycle_start, counted.operation, counted.quarter_hour)
         = (kept.user_id, kept.api_key_id, kept.cycle_start, kept.operation, kept.quarter_hour)
     where (kept.credits_charged, kept.charges) is distinct from (counted.credits, counted.charges)`,
  'closed cycle': sql`
    select cycles.user_id as "userId", 'cycle ' || ${utc('cycles.cycle_start')} as subject,
           cycles.credits_used || ' until ' || ${utc('cycles.cycle_end')} as kept,
           coalesce(counted.credits, 0) || ' until ' || ${utc('boundary')} as counted
      from billing_cycles as cycles
      join billing_accounts as accounts on accounts.user_id = cycles.user_id
     cross join lateral (select cycle_boundary(billing_cycle_anchor, cycle_index(billing_cycle_anchor, cycles.cycle_start) + 1) as boundary) as right_end
      left join (select user_id, cycle_start, sum(credits_charged) as credits from api_key_usage group by 1, 2) as counted
        on counted.user_id = cycles.user_id and counted.cycle_start = cycles.cycle_start
     where cycles.credits_used <> coalesce(counted.credits, 0) or cycles.cycle_end <> boundary`,
  'cycle that was not closed': sql`
    select accounts.user_id as "userId", 'cycle ' || ${utc('cycle_boundary(billing_cycle_anchor, k)')} as subject,
           'none' as kept, 'until ' || ${utc('cycle_boundary(billing_cycle_anchor, k + 1)')} as counted
      from billing_accounts as accounts
     cross join lateral generate_series(0, cycle_index(billing_cycle_anchor, billing_cycle_start) - 1) as k
     where not exists (select from billing_cycles as cycles
                        where cycles.user_id = accounts.user_id and cycles.cycle_start = cycle_boundary(billing_cycle_anchor, k))
       -- Cycles of before the engine were never closed: the account's first event tells where it begins.
       and cycle_boundary(billing_cycle_anchor, k) >= (select min(cycle_start) from api_key_usage as events
                                                        where events.user_id = accounts.user_id and idempotency_key is not null)`,
  operation: sql`
    select coalesce(kept.user_id, counted.user_id) as "userId", 'operation ' || coalesce(kept.operation, counted.operation) as subject,
           case when kept.operation is null then 'none' else 'kept' end as kept,
           case when counted.operation is null then 'no event' else 'events' end as counted
      from usage_operations as kept
      full join (select distinct user_id, operation from api_key_usage) as counted
        on (counted.user_id, counted.operation) = (kept.user_id, kept.operation)
     where kept.operation is null or counted.operation is null`,
  'idempotency key': sql`
    select user_id as "userId", 'idempotency key ' || idempotency_key as subject, count(*)::text as kept, '1' as counted
      from (select user_id, idempotency_key, created_at - lag(created_at) over (partition by user_id, idempotency_key order by sequence) as since
              from api_key_usage where idempotency_key is not null) as events
     where since < interval '35 days' group by user_id, idempotency_key`,
}

/**
 * Computes balances, roll-ups and cycles anew from the usage events, in one snapshot, and names every difference. Takes a
 * handle that sees all accounts: the owner's.
 */
export async function reconcile(db: Db, report: (what: string) => void = () => {}): Promise<Difference[]> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (snapshot) => {
      // A role whose rows are filtered would find nothing amiss: with this Postgres refuses to filter.
      await sql`set local row_security = off`.execute(snapshot)
      // Reads every event: that may take longer than a call may.
      await sql`set local statement_timeout = 0`.execute(snapshot)
      const differences: Difference[] = []
      for (const [what, reckoning] of Object.entries(RECKONINGS)) {
        report(what)
        const { rows } = await reckoning.execute(snapshot)
        differences.push(...rows.map((row) => ({ ...row, what })))
      }
      return differences
    })
}
