import type { Db } from '@keymeter/db'
import { type RawBuilder, sql } from 'kysely'
import { ERASED_TABLES } from '../operator/erase-account.ts'

/** A stored value that differs from the expected value, which is computed from the usage events and the ledger. */
export interface Difference {
  userId: string
  /** The name of the check that found the difference. */
  what: string
  /** The thing that the value belongs to, e.g. a cycle, a key or an operation. */
  subject: string
  stored: string
  expected: string
}

type Row = Omit<Difference, 'what'>

/** Returns an SQL condition that is true if the event `sequence` of the account was not dropped. */
const isEventKept = (userId: string, sequence: string) =>
  sql.raw(`coalesce(${sequence} > (select last_event_sequence from usage_retention where user_id = ${userId}), true)`)

/** Returns the SQL expression for a time as text in UTC. The text does not depend on the settings of the session. */
const utc = (column: string) => sql.raw(`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)

/**
 * Returns an SQL condition that is true if no event of the account since `moment` was dropped. Only then can sums since
 * `moment` be recomputed.
 */
const isKept = (userId: string, moment: string) =>
  sql.raw(`coalesce(${moment} >= (select kept_from from usage_retention where user_id = ${userId}), true)`)

/**
 * One query for each check. Each query returns the rows whose stored value differs from the recomputed value. The usage events
 * and the ledger entries count as correct. The credits that a plan granted are not checked, because they are stored only once.
 */
const TOTALS_WITH_ERASED: Record<string, RawBuilder<Row>> = {
  balance: sql`
    select accounts.user_id as "userId", 'cycle ' || ${utc('billing_cycle_start')} as subject,
           credits_used::text as stored, coalesce(expected.credits, 0)::text as expected
      from billing_accounts as accounts
      left join (select user_id, cycle_start, sum(credits_charged) as credits from api_key_usage group by 1, 2) as expected
        on expected.user_id = accounts.user_id and expected.cycle_start = billing_cycle_start
     where credits_used <> coalesce(expected.credits, 0)`,
  'last event': sql`
    select accounts.user_id as "userId", 'sequence and time' as subject,
           last_event_sequence || ', ' || coalesce(${utc('last_event_at')}, 'never') as stored,
           coalesce(expected.last, 0) || ', ' || coalesce(${utc('expected.at')}, 'never') as expected
      from billing_accounts as accounts
      left join (select user_id, max(last_event_sequence) as last, max(last_event_at) as at
                   from (select user_id, max(sequence) as last_event_sequence, max(created_at) as last_event_at from api_key_usage group by 1
                         union all select user_id, last_event_sequence, last_event_at from usage_retention) as known
                  group by 1) as expected using (user_id)
     where last_event_sequence <> coalesce(expected.last, 0) or last_event_at is distinct from expected.at`,
  'sequence of events': sql`
    select user_id as "userId", 'event ' || sequence as subject, coalesce(before::text, 'none') as stored, (sequence - 1)::text as expected
      from (select user_id, sequence, lag(sequence) over (partition by user_id order by sequence) as before
              from (select user_id, sequence from api_key_usage
                    union all select user_id, last_event_sequence from usage_retention) as known) as events
     where before is distinct from nullif(sequence - 1, 0)
       and not exists (select from usage_retention as dropped where dropped.user_id = events.user_id and dropped.last_event_sequence = sequence)`,
  'time of events': sql`
    select user_id as "userId", 'event ' || sequence as subject, ${utc('created_at')} as stored, 'at or after ' || ${utc('previous')} as expected
      from (select user_id, sequence, created_at, lag(created_at) over (partition by user_id order by sequence) as previous from api_key_usage) as events
     where created_at < previous`,
  'event itself': sql`
    select user_id as "userId", 'event ' || sequence as subject,
           verdict || ' ' || credits_charged || ' at ' || ${utc('created_at')} as stored,
           'asked ' || credits_requested || ', cycle ' || ${utc('cycle_start')} || ' to ' || ${utc('cycle_end')} as expected
      from api_key_usage
     where case verdict when 'charged' then credits_charged <> credits_requested
                        -- The check of the holds compares it with the credits of the hold.
                        when 'settled' then credits_charged not between 0 and credits_requested
                        -- A refund that became a top-up charges 0 credits.
                        when 'refunded' then credits_charged not in (0, -credits_requested)
                        else credits_charged <> 0 end
        or (credits_held is not null) <> (verdict in ('insufficient_credits', 'key_limit_exceeded'))
        or credits_requested < 0 or (credits_charged < 0 and action <> 'refund')
        or coalesce(counted_at, created_at) < cycle_start or created_at >= cycle_end or remaining < 0`,
  hold: sql`
    select coalesce(made.user_id, holds.user_id) as "userId", 'hold ' || coalesce(made.sequence, holds.sequence) as subject,
           coalesce(holds.credits || ' ' || coalesce(holds.outcome, 'open') || ' until ' || ${utc('holds.expires_at')}, 'none') as stored,
           coalesce(made.credits_requested || ' ' || coalesce(ended.verdict, 'open or expired') || ' until ' || ${utc('made.expires_at')}, 'none') as expected
      from (select * from api_key_usage where verdict = 'held') as made
      full join (select * from credit_holds as kept where ${isEventKept('kept.user_id', 'sequence')}) as holds using (user_id, sequence)
      left join (select user_id, refers_to, min(verdict) as verdict, count(*) as ends, max(credits_charged) as charged, max(credits_requested) as requested
                   from api_key_usage where verdict in ('settled', 'released') group by 1, 2) as ended
        on ended.user_id = made.user_id and ended.refers_to = made.sequence
      left join billing_accounts as accounts on accounts.user_id = made.user_id
     where (made.credits_requested, made.expires_at, made.cycle_start, made.api_key_id, made.operation)
             is distinct from (holds.credits, holds.expires_at, holds.cycle_start, holds.api_key_id, holds.operation)
        or ended.verdict is distinct from case when holds.outcome <> 'expired' then holds.outcome end
        -- A settle charges at least what the hold covers. Beyond the hold, it charges what the account and the key still have.
        or ended.ends > 1 or (ended.verdict = 'settled' and ended.charged < least(ended.requested, holds.credits))
        or (holds.outcome is null and holds.expires_at <= accounts.last_event_at)`,
  'held credits': sql`
    select coalesce(stored.user_id, expected.user_id) as "userId", 'cycle ' || ${utc('coalesce(stored.cycle_start, expected.cycle_start)')} as subject,
           coalesce(stored.credits, 0)::text as stored, coalesce(expected.credits, 0)::text as expected
      from (select user_id, billing_cycle_start as cycle_start, credits_held as credits from billing_accounts
            union all select user_id, cycle_start, credits_held from billing_cycles) as stored
      full join (select user_id, cycle_start, sum(credits) as credits from credit_holds where outcome is null group by 1, 2) as expected
        using (user_id, cycle_start)
     where coalesce(stored.credits, 0) <> coalesce(expected.credits, 0)`,
  'next hold to expire': sql`
    select user_id as "userId", 'account' as subject, coalesce(${utc('holds_expire_at')}, 'none') as stored, ${utc('expected.at')} || ' or before' as expected
      from billing_accounts
      join (select user_id, min(expires_at) as at from credit_holds where outcome is null group by 1) as expected using (user_id)
     where holds_expire_at is null or holds_expire_at > expected.at`,
  refund: sql`
    select refunds.user_id as "userId", 'event ' || refunds.sequence as subject,
           coalesce(entries.kind || ' ' || entries.credits || ' in cycle ' || ${utc('entries.cycle_start')}, 'no entry') || ', of ' || coalesce(charge.credits_charged::text, 'nothing') as stored,
           refunds.credits_requested || ' in cycle ' || ${utc('refunds.cycle_start')} || ', ' || refunds.sum || ' in all' as expected
      from (select *, sum(credits_requested) over (partition by user_id, refers_to) as sum from api_key_usage where verdict = 'refunded') as refunds
      left join api_key_usage as charge
        on charge.user_id = refunds.user_id and charge.sequence = refunds.refers_to and charge.verdict in ('charged', 'settled')
      left join ledger_entries as entries on entries.user_id = refunds.user_id and entries.event_sequence = refunds.sequence
     where (entries.kind, entries.credits, entries.cycle_start) is distinct from
             (case refunds.credits_charged when 0 then 'refund_top_up' else 'refund' end, refunds.credits_requested, refunds.cycle_start)
        or refunds.sum > charge.credits_charged
    union all
    select entries.user_id, 'ledger entry ' || entries.sequence, entries.kind || ' ' || entries.credits, 'no refund'
      from ledger_entries as entries
     where kind in ('refund', 'refund_top_up') and ${isEventKept('entries.user_id', 'entries.event_sequence')}
       and not exists (select from api_key_usage as refunds
                        where refunds.user_id = entries.user_id and refunds.sequence = entries.event_sequence and refunds.verdict = 'refunded')`,
  'ledger entry': sql`
    select entries.user_id as "userId", 'ledger entry ' || entries.sequence as subject,
           entries.kind || ' at ' || ${utc('entries.created_at')} as stored, 'cycle ' || ${utc('cycle_start')} || ' to ' || ${utc('boundary')} as expected
      from ledger_entries as entries
      join billing_accounts as accounts on accounts.user_id = entries.user_id
     cross join lateral (select keymeter.cycle_boundary(billing_cycle_anchor, keymeter.cycle_index(billing_cycle_anchor, cycle_start) + 1) as boundary) as right_end
     where entries.created_at < cycle_start or entries.created_at >= boundary`,
  'sequence of the ledger': sql`
    select accounts.user_id as "userId", 'ledger' as subject, accounts.last_ledger_sequence::text as stored,
           count(entries.sequence) || ' entries up to ' || coalesce(max(entries.sequence), 0) as expected
      from billing_accounts as accounts left join ledger_entries as entries using (user_id)
     group by accounts.user_id, accounts.last_ledger_sequence
    having accounts.last_ledger_sequence <> count(entries.sequence) or accounts.last_ledger_sequence <> coalesce(max(entries.sequence), 0)`,
  // The functions of the operator write both entries in one transaction. So an entry without its counterpart means that somebody
  // added credits past these functions, or removed an entry of the audit log.
  'audit entry': sql`
    select coalesce(entries.user_id, log.user_id) as "userId", 'ledger entry ' || coalesce(entries.sequence::text, log.ledger_sequence, 'unknown') as subject,
           coalesce(entries.change, 'none') as stored, coalesce(log.change, 'no entry in the audit log') as expected
      from (select user_id, sequence, case kind when 'top_up' then 'top-up ' || credits when 'take_back' then 'take back ' || - credits || ' of ' || refers_to else 'plan ' || plan end as change
              from ledger_entries where kind in ('top_up', 'take_back', 'plan_change')) as entries
      full join (select user_id, detail->>'ledgerSequence' as ledger_sequence,
                        case action when 'account.topped_up' then 'top-up ' || (detail->>'credits')
                                    when 'account.top_up_taken_back' then 'take back ' || (detail->>'credits') || ' of ' || (detail->>'topUpSequence')
                                    else 'plan ' || (detail->>'plan') end as change
                   from audit_log where actor = 'operator' and action in ('account.topped_up', 'account.top_up_taken_back', 'account.plan_changed')) as log
        on log.user_id = entries.user_id and log.ledger_sequence = entries.sequence::text
     where entries.change is distinct from log.change`,
  'free credits': sql`
    select accounts.user_id as "userId", 'free credits' as subject, coalesce(accounts.free_credits_refusal, 'granted') as stored,
           count(log.sequence) || ' entries in the audit log' as expected
      from billing_accounts as accounts
      left join audit_log as log on log.user_id = accounts.user_id and log.action = 'account.free_credits_granted' and log.actor = 'system'
     group by accounts.user_id, accounts.free_credits_refusal
    having count(log.sequence) <> (case when accounts.free_credits_refusal is null then 1 else 0 end)`,
  'taken back top-up': sql`
    select taken.user_id as "userId", 'ledger entry ' || taken.refers_to as subject, coalesce(top_up.kind || ' ' || top_up.credits, 'none') as stored,
           'top-up of at least ' || - sum(taken.credits) as expected
      from ledger_entries as taken
      left join ledger_entries as top_up on top_up.user_id = taken.user_id and top_up.sequence = taken.refers_to
     where taken.kind = 'take_back'
     group by taken.user_id, taken.refers_to, top_up.kind, top_up.credits
    having top_up.kind is distinct from 'top_up' or - sum(taken.credits) > top_up.credits`,
  'top-ups': sql`
    select accounts.user_id as "userId", 'left in cycle ' || ${utc('billing_cycle_start')} as subject,
           top_up_balance::text as stored, (coalesce(granted, 0) - coalesce(spent, 0))::text as expected
      from billing_accounts as accounts
      left join (select user_id, sum(credits) as granted from ledger_entries where kind in ('top_up', 'take_back', 'refund_top_up') group by 1) as entries using (user_id)
      -- A cycle uses top-ups only after the credits that the plan granted.
      left join (select user_id, sum(greatest(0, credits_used + credits_held - credits_granted)) as spent from billing_cycles group by 1) as cycles
        using (user_id)
     where top_up_balance <> coalesce(granted, 0) - coalesce(spent, 0)`,
  'top-ups of a cycle': sql`
    select user_id as "userId", 'cycle ' || ${utc('cycle_start')} as subject, coalesce(stored.credits::text, 'no cycle') as stored, coalesce(expected.credits, 0)::text as expected
      from (select user_id, billing_cycle_start as cycle_start, topped_up_this_cycle as credits from billing_accounts
            union all select user_id, cycle_start, credits_topped_up from billing_cycles) as stored
      full join (select user_id, cycle_start, sum(credits) as credits from ledger_entries where kind in ('top_up', 'take_back', 'refund_top_up') group by 1, 2) as expected
        using (user_id, cycle_start)
     where stored.credits is distinct from coalesce(expected.credits, 0)`,
  overspent: sql`
    select user_id as "userId", 'cycle ' || ${utc('billing_cycle_start')} as subject, credits_used || ' used, ' || credits_held || ' held' as stored,
           'at most ' || credits_per_cycle + top_up_balance as expected
      from billing_accounts where credits_used + credits_held > credits_per_cycle + top_up_balance
    union all
    -- A late settle can charge more than its hold. It must not take top-ups that were granted after the cycle ended.
    select user_id, 'cycle ' || ${utc('cycle_start')}, credits_used || ' used, ' || credits_held || ' held', 'at most ' || credits_used + credits_held + top_ups
      from (select *, sum(credits_topped_up - greatest(0, credits_used + credits_held - credits_granted))
                        over (partition by user_id order by cycle_start)::bigint as top_ups
              from billing_cycles) as cycles
     where top_ups < 0`,
  'roll-up by cycle': sql`
    select coalesce(stored.user_id, expected.user_id) as "userId",
           'key ' || coalesce(stored.api_key_id, expected.api_key_id) || ', cycle ' || ${utc('coalesce(stored.cycle_start, expected.cycle_start)')} as subject,
           coalesce(stored.credits_charged || ' in ' || stored.charges || ', ' || stored.credits_held || ' held', 'none') as stored,
           coalesce(expected.credits || ' in ' || expected.charges || ', ' || expected.held || ' held', 'none') as expected
      from usage_by_cycle as stored
      full join (
        select events.user_id, events.api_key_id, events.cycle_start, sum(credits_charged) as credits,
               count(*) filter (where verdict in ('charged', 'settled')) as charges,
               coalesce((select sum(holds.credits) from credit_holds as holds
                          where holds.user_id = events.user_id and holds.api_key_id = events.api_key_id
                            and holds.cycle_start = events.cycle_start and holds.outcome is null), 0) as held
          from api_key_usage as events
         where verdict in ('charged', 'held', 'settled', 'released') or credits_charged <> 0
         group by 1, 2, 3) as expected
        on (expected.user_id, expected.api_key_id, expected.cycle_start) = (stored.user_id, stored.api_key_id, stored.cycle_start)
     where ((stored.credits_charged, stored.charges, stored.credits_held) is distinct from (expected.credits, expected.charges, expected.held)
            or stored.credits_charged < 0)
       and ${isKept('coalesce(stored.user_id, expected.user_id)', 'coalesce(stored.cycle_start, expected.cycle_start)')}`,
  'roll-up by quarter hour': sql`
    select coalesce(stored.user_id, expected.user_id) as "userId",
           'key ' || coalesce(stored.api_key_id, expected.api_key_id) || ', ' || coalesce(stored.operation, expected.operation)
             || ', ' || ${utc('coalesce(stored.quarter_hour, expected.quarter_hour)')} as subject,
           coalesce(stored.credits_charged || ' in ' || stored.charges || ', ' || stored.credits_refunded || ' refunded', 'none') as stored,
           coalesce(expected.credits || ' in ' || expected.charges || ', ' || expected.refunded || ' refunded', 'none') as expected
      from usage_by_quarter_hour as stored
      full join (select user_id, api_key_id, cycle_start, operation, date_bin('15 minutes', coalesce(counted_at, created_at), 'epoch') as quarter_hour,
                        sum(credits_charged) as credits, count(*) filter (where verdict <> 'refunded') as charges,
                        coalesce(-sum(credits_charged) filter (where verdict = 'refunded'), 0) as refunded
                   from api_key_usage where verdict in ('charged', 'settled') or credits_charged <> 0 group by 1, 2, 3, 4, 5) as expected
        on (expected.user_id, expected.api_key_id, expected.cycle_start, expected.operation, expected.quarter_hour)
         = (stored.user_id, stored.api_key_id, stored.cycle_start, stored.operation, stored.quarter_hour)
     where ((stored.credits_charged, stored.charges, stored.credits_refunded) is distinct from (expected.credits, expected.charges, expected.refunded)
            or stored.credits_charged < 0)
       and ${isKept('coalesce(stored.user_id, expected.user_id)', 'coalesce(stored.quarter_hour, expected.quarter_hour)')}`,
  'roll-up by day': sql`
    select coalesce(stored.user_id, expected.user_id) as "userId",
           coalesce('key ' || nullif(key, ''), 'all keys') || ', ' || coalesce(nullif(operation, ''), 'all operations') || ', ' || day as subject,
           coalesce('quarters ' || stored.quarters::text || ', ' || stored.credits::text || ' in ' || stored.charges::text || ', ' || stored.refunded || ' refunded', 'none') as stored,
           coalesce('quarters ' || expected.quarters::text || ', ' || expected.credits::text || ' in ' || expected.charges::text || ', ' || expected.refunded || ' refunded', 'none') as expected
      from (select user_id, cycle_start, day, coalesce(api_key_id::text, '') as key, coalesce(operation, '') as operation,
                   quarters::numeric[], credits_charged::numeric[] as credits, charges::numeric[], credits_refunded as refunded from usage_by_day) as stored
      full join (
        select user_id, cycle_start, (quarter_hour at time zone 'UTC')::date as day, coalesce(api_key_id::text, '') as key, coalesce(operation, '') as operation,
               array_agg(extract(epoch from quarter_hour)::bigint % 86400 / 900 order by quarter_hour)::numeric[] as quarters,
               array_agg(credits order by quarter_hour) as credits, array_agg(charges order by quarter_hour) as charges, sum(refunded) as refunded
          from (select user_id, cycle_start, api_key_id, operation, quarter_hour, sum(refunded) as refunded,
                       sum(sum(credits)) over until_then as credits, sum(sum(charges)) over until_then as charges
                  from (select events.user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', coalesce(counted_at, created_at), 'epoch') as quarter_hour,
                               credits_charged as credits, (verdict <> 'refunded')::int as charges, case verdict when 'refunded' then -credits_charged else 0 end as refunded
                          from api_key_usage as events where verdict in ('charged', 'settled') or credits_charged <> 0) as events
                  join billing_accounts as accounts using (user_id)
                 where quarter_hour < usage_by_day_until
                 group by user_id, cycle_start, quarter_hour, cube (api_key_id, operation)
                window until_then as (partition by user_id, cycle_start, (quarter_hour at time zone 'UTC')::date, api_key_id, operation order by quarter_hour)) as steps
         group by 1, 2, 3, 4, 5) as expected using (user_id, cycle_start, day, key, operation)
     where (stored.quarters, stored.credits, stored.charges, stored.refunded) is distinct from (expected.quarters, expected.credits, expected.charges, expected.refunded)
       and ${isKept('coalesce(stored.user_id, expected.user_id)', "day::timestamp at time zone 'UTC'")}`,
  'closed cycle': sql`
    select cycles.user_id as "userId", 'cycle ' || ${utc('cycles.cycle_start')} as subject,
           cycles.credits_used || ' until ' || ${utc('cycles.cycle_end')} as stored,
           coalesce(expected.credits, 0) || ' until ' || ${utc('boundary')} as expected
      from billing_cycles as cycles
      join billing_accounts as accounts on accounts.user_id = cycles.user_id
     cross join lateral (select keymeter.cycle_boundary(billing_cycle_anchor, keymeter.cycle_index(billing_cycle_anchor, cycles.cycle_start) + 1) as boundary) as right_end
      left join (select user_id, cycle_start, sum(credits_charged) as credits from api_key_usage group by 1, 2) as expected
        on expected.user_id = cycles.user_id and expected.cycle_start = cycles.cycle_start
     where (cycles.credits_used <> coalesce(expected.credits, 0) and ${isKept('cycles.user_id', 'cycles.cycle_start')})
        or cycles.cycle_end <> boundary`,
  'cycle that was not closed': sql`
    select accounts.user_id as "userId", 'cycle ' || ${utc('keymeter.cycle_boundary(billing_cycle_anchor, k)')} as subject,
           'none' as stored, 'until ' || ${utc('keymeter.cycle_boundary(billing_cycle_anchor, k + 1)')} as expected
      from billing_accounts as accounts
     cross join lateral generate_series(0, keymeter.cycle_index(billing_cycle_anchor, billing_cycle_start) - 1) as k
     where not exists (select from billing_cycles as cycles
                        where cycles.user_id = accounts.user_id and cycles.cycle_start = keymeter.cycle_boundary(billing_cycle_anchor, k))
       -- If the anchor was moved back, the account has cycles before its first data. These cycles have no row in
       -- billing_cycles.
       and keymeter.cycle_boundary(billing_cycle_anchor, k) >= least(
             (select min(cycle_start) from api_key_usage as events where events.user_id = accounts.user_id),
             (select min(cycle_start) from ledger_entries as entries where entries.user_id = accounts.user_id),
             (select min(cycle_start) from billing_cycles as cycles where cycles.user_id = accounts.user_id))`,
  operation: sql`
    select coalesce(stored.user_id, expected.user_id) as "userId", 'operation ' || coalesce(stored.operation, expected.operation) as subject,
           case when stored.operation is null then 'none' else 'stored' end as stored,
           case when expected.operation is null then 'no event' else 'events' end as expected
      from operations as stored
      full join (select distinct user_id, operation from api_key_usage) as expected
        on (expected.user_id, expected.operation) = (stored.user_id, stored.operation)
     where stored.operation is null
        -- The dropped months can contain events with this operation, so an operation without a kept event is not an error.
        or (expected.operation is null and not exists (select from usage_retention as dropped where dropped.user_id = stored.user_id))`,
  'idempotency key': sql`
    select user_id as "userId", 'idempotency key ' || idempotency_key as subject, count(*)::text as stored, '1' as expected
      from (select user_id, idempotency_key, created_at - lag(created_at) over (partition by user_id, idempotency_key order by sequence) as since
              from api_key_usage where idempotency_key is not null) as events
     where since < interval '35 days' group by user_id, idempotency_key`,
}

/** The checks of totals, without the accounts whose events the operator has begun to erase. */
const TOTALS: Record<string, RawBuilder<Row>> = Object.fromEntries(
  Object.entries(TOTALS_WITH_ERASED).map(([what, check]) => [
    what,
    sql<Row>`
      select * from (${check}) as found
       where not exists (select from public.billing_accounts as erased
                          where erased.user_id = found."userId" and erased.erased_at is not null)`,
  ]),
)

/**
 * Checks of other facts than totals. They do not keep usage events from being dropped.
 */
const OTHER_CHECKS: Record<string, RawBuilder<Row>> = {
  // Only the deletion of a user in Supabase can leave an account without an owner.
  owner: sql`
    select accounts.user_id as "userId", 'account' as subject, 'no owner' as stored, 'an owner' as expected
      from billing_accounts as accounts
      left join account_members as owners on owners.user_id = accounts.user_id and owners.role = 'owner'
     where accounts.closed_at is null and owners.user_id is null`,
  // The command that erases an account was interrupted. A repeat erases the rest.
  'erased account': sql`
    select accounts.user_id as "userId", 'data of an erased account' as subject, 'rows' as stored, 'no rows' as expected
      from billing_accounts as accounts
     where accounts.erased_at is not null
       and (${sql.join(
         [...ERASED_TABLES, 'api_key_usage'].map(
           (name) => sql`exists (select from ${sql.table(name)} as rest where rest.user_id = accounts.user_id)`,
         ),
         sql` or `,
       )})`,
}

/** The tables that the checks read. If `userIds` is set, each table name refers only to the rows of these accounts. */
const TABLES = [
  'account_members',
  'billing_accounts',
  'billing_cycles',
  'api_key_usage',
  'operations',
  'usage_by_cycle',
  'usage_by_quarter_hour',
  'usage_by_day',
  'usage_retention',
  'credit_holds',
  'ledger_entries',
  'audit_log',
]

export interface ReconcileOptions {
  /** The accounts to check. By default, all accounts are checked. */
  userIds?: readonly string[]
  /** True if only totals are checked. The default is false. */
  onlyTotals?: boolean
  /** Receives the name of each check before it runs. */
  onCheck?: (what: string) => void
}

/**
 * Recomputes balances, roll-ups, holds, the ledger and the cycles from the usage events, compares the ledger with the audit log,
 * checks that every account has an owner, and returns every difference from the stored values. All checks read one snapshot. `db` must be the handle of the database's owner, which sees all accounts.
 */
export async function reconcile(
  db: Db,
  { userIds, onlyTotals = false, onCheck = () => {} }: ReconcileOptions = {},
): Promise<Difference[]> {
  const only = TABLES.map(
    (table) =>
      sql`${sql.ref(table)} as (select * from ${sql.table(`public.${table}`)} where user_id = any(${userIds}::uuid[]))`,
  )
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (snapshot) => {
      // This setting makes the queries fail if the role can see only some rows. Without it, such a role would miss differences
      // in the other rows.
      await sql`set local row_security = off`.execute(snapshot)
      // The checks read every event, which can take longer than the statement timeout allows.
      await sql`set local statement_timeout = 0`.execute(snapshot)
      // Take the lock before the first query takes the snapshot. Otherwise a partition could be dropped between the snapshot
      // and the first check.
      await sql`lock table api_key_usage in access share mode`.execute(snapshot)
      const differences: Difference[] = []
      for (const [what, check] of Object.entries({ ...TOTALS, ...(onlyTotals ? {} : OTHER_CHECKS) })) {
        onCheck(what)
        const query = userIds === undefined ? check : sql<Row>`with ${sql.join(only)} ${check}`
        const { rows } = await query.execute(snapshot)
        differences.push(...rows.map((row) => ({ ...row, what })))
      }
      return differences
    })
}
