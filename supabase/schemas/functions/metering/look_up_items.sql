-- Returns what the decisions of a batch need: for each item, its account, its key, its operation, and the usage event of an
-- earlier request with the same idempotency key. The items are sorted by account. Each table is read by an index on the full
-- key.
--
-- The planner settings of meter_batch also apply here, because meter_batch calls this function. The account time is written out
-- (keymeter.account_time), because a call of a function for each item would take several percent of the time of a batch.
--
-- The function is volatile, so its query takes its snapshot after it has locked the partitions. A stable function would use the
-- earlier snapshot of its caller. If make_usage_partitions moved events to a new partition meanwhile, the query would not find
-- them, and a retry would be decided again.
--
-- `latest` is the latest account time (keymeter.account_time) of the batch.
create function keymeter.look_up_items(
  v_now timestamptz, latest timestamptz, actions text[], user_ids uuid[], key_hashes bytea[], refers_to bigint[], credits bigint[],
  idempotency_keys text[], operations text[], lifetimes int[]
) returns setof keymeter.metering_lookup
  language plpgsql volatile rows 100 set search_path = ''
  as $$
begin
  return query
    select row(given.n, given.action, given.user_id, given.key_hash, given.refers_to, given.credits, given.idempotency_key,
               given.operation, given.lifetime,
               null, false, null, keys.id, keys.key_type, 0, null, null, accounts.billing_cycle_end, null,
               false, 0, time.moment, accounts.billing_cycle_start,
               null)::keymeter.metering_item,
           row(accounts.user_id, time.moment,
               accounts.billing_cycle_start, accounts.credits_per_cycle, accounts.credits_used, accounts.credits_held,
               accounts.top_up_balance, accounts.topped_up_this_cycle, accounts.holds_expire_at, accounts.last_event_sequence,
                accounts.last_ledger_sequence, null, null, false, false, null, '{}', '{}', '{}')::keymeter.metering_account,
           case
             when keys.revoked_at is not null then 'revoked'
             when keys.disabled_at is not null then 'disabled'
             when least(keys.expires_at, secrets.valid_until)
                  <= time.moment then 'expired'
             when accounts.suspended_at is not null then 'account_suspended'
           end,
           keys.credit_limit::bigint,
           operation.operation is not null,
           keys.id is not null and least(coalesce(keys.last_used_at, '-infinity'), coalesce(secrets.last_used_at, '-infinity'))
             < time.moment - interval '1 minute',
           row(given.n, event.action, event.user_id, null, event.refers_to, event.credits_requested, event.idempotency_key,
               event.operation, null,
               event.verdict, true, event.sequence, event.api_key_id, null, event.credits_charged, event.remaining,
               event.credits_held, event.cycle_end, event.expires_at,
               false, 0, null, null, null)::keymeter.metering_item,
           event.verdict is not null,
           event.action = given.action and event.refers_to is not distinct from given.refers_to
             -- A request to release a hold does not contain credits, so there is nothing to compare.
             and (given.action = 'release' or event.credits_requested = given.credits)
             and (given.refers_to is not null or (event.api_key_id = keys.id and event.operation = given.operation))
             and (given.lifetime is null or event.expires_at = event.created_at + make_interval(secs => given.lifetime)),
           accounts.usage_by_day_until,
           accounts.next_alert_percent * accounts.credits_per_cycle, accounts.next_alert_credits_left, accounts.next_alert_at_refusal
      from unnest(actions, user_ids, key_hashes, refers_to, credits, idempotency_keys, operations, lifetimes)
             with ordinality as given (action, user_id, key_hash, refers_to, credits, idempotency_key, operation, lifetime, n)
      join public.billing_accounts as accounts on accounts.user_id = given.user_id
     cross join lateral (select greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment) as time
      left join public.api_key_secrets as secrets on secrets.user_id = given.user_id and secrets.key_hash = given.key_hash
      left join public.api_keys as keys on keys.user_id = secrets.user_id and keys.id = secrets.api_key_id
      left join lateral (
        select events.* from public.api_key_usage as events
         where events.user_id = given.user_id and events.idempotency_key = given.idempotency_key
           -- The first two conditions on created_at are coarse: they select the partitions once for each batch. The third
           -- condition compares with the account's own time.
           and events.created_at > v_now - keymeter.idempotency_window() and events.created_at <= latest
           and events.created_at + keymeter.idempotency_window()
               > time.moment
         limit 1
      ) as event on true
      left join public.operations as operation
        on operation.user_id = given.user_id and operation.operation = given.operation
     order by given.user_id, given.n;
end
$$;
