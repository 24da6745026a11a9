-- The charge. Takes a batch, decides each item in the order of the arrays, and writes what it decided: one call, one
-- commit. An item asks for `credits` of the account `user_id` for the key whose secret hashes to `key_hash`.
--
-- Exact, because whoever changes an account, its keys or its credits locks the account's row first, in the order of ids:
-- nothing that is read here after the lock can change before the commit. So a revoke counts from the next charge, a balance
-- is never granted twice, and looking for an earlier request with the same idempotency key finds every one.
--
-- Verdicts: charged; revoked, disabled, expired, account_suspended, insufficient_credits, key_limit_exceeded, which are
-- remembered like a charge; not_found, conflict, operation_limit_exceeded, which leave no trace. A verify (0 credits, no
-- idempotency key) leaves none either.
--
-- `route` is the first item's account. On one Postgres it means nothing; where tables are distributed by account, the
-- function is distributed by it, and a batch holds one account.
--
-- The settings keep the plan what it must be, index look-ups, on tables that are new and have no statistics yet.
create function public.charge_batch(
  route uuid, user_ids uuid[], key_hashes bytea[], credits bigint[], idempotency_keys text[], operations text[]
) returns table (
  verdict text, is_replayed boolean, api_key_id uuid, key_type text, credits_charged bigint, remaining bigint, cycle_end timestamptz
)
  language plpgsql volatile security definer
  set search_path = '' set timezone = 'UTC'
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
  set plan_cache_mode = force_generic_plan
  -- One account that somebody holds must not hold up the batch for long.
  set lock_timeout = '1s'
  as $$
#variable_conflict use_column
declare
  operations_max constant int := 100;
  remembered_for constant interval := interval '35 days';
  v_now timestamptz;
  n int;
  lead int;
  known bigint;
  -- One element an item. `fresh` items are no replays; `recorded` ones become events.
  verdicts text[]; replays boolean[]; keys uuid[]; types text[]; charged bigint[]; lefts bigint[]; ends timestamptz[];
  moments timestamptz[]; starts timestamptz[]; sequences bigint[]; leads int[]; fresh boolean[]; recorded boolean[];
  -- What the account and the key could still spend before this batch, and which they are, counted from 1.
  account_lefts bigint[]; key_lefts bigint[]; account_numbers int[]; key_numbers int[];
  -- By these numbers, as the batch is decided.
  left_of_account bigint[] := '{}'; left_of_key bigint[] := '{}';
  is_tight boolean; has_new_operation boolean; has_followers boolean; has_stale_use boolean;
begin
  perform from public.billing_accounts where user_id = any(user_ids) order by user_id for no key update;
  v_now := public.keymeter_now();

  -- Rollover. An account's time never runs backwards, whatever the clock does: not before its last event or its cycle.
  if exists (
    select from public.billing_accounts as accounts
     where accounts.user_id = any(user_ids)
       and billing_cycle_end <= greatest(v_now, last_event_at, billing_cycle_start)
  ) then
    -- Before the account is written to: make_usage_partitions holds a partition when it waits for whoever writes to accounts.
    lock table public.api_key_usage in access share mode;
    insert into public.billing_cycles (user_id, cycle_start, cycle_end, credits_granted, credits_used)
      select accounts.user_id, public.cycle_boundary(billing_cycle_anchor, k), public.cycle_boundary(billing_cycle_anchor, k + 1),
             credits_per_cycle, case when public.cycle_boundary(billing_cycle_anchor, k) = billing_cycle_start then credits_used else 0 end
        from public.billing_accounts as accounts
       cross join lateral generate_series(
             public.cycle_index(billing_cycle_anchor, billing_cycle_start),
             public.cycle_index(billing_cycle_anchor, greatest(v_now, last_event_at, billing_cycle_start)) - 1) as k
       where accounts.user_id = any(user_ids)
      on conflict do nothing;
    update public.billing_accounts as accounts
       set billing_cycle_start = due.cycle_start,
           credits_used = due.credits_used
      from (select unrolled.user_id, cycle_start,
                   coalesce((select sum(usage.credits_charged) from public.api_key_cycle_usage as usage
                              where usage.user_id = unrolled.user_id and usage.cycle_start = unrolled.cycle_start), 0) as credits_used
              from (select current.user_id, current.billing_cycle_start as stored,
                           public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, greatest(v_now, last_event_at, billing_cycle_start))) as cycle_start
                      from public.billing_accounts as current where current.user_id = any(user_ids)) as unrolled
             where cycle_start <> stored) as due
     where accounts.user_id = due.user_id;
  end if;

  -- Everything that the decision needs, in one look.
  select array_agg(decided order by i), array_agg(replay is not null order by i), array_agg(key_id order by i),
         array_agg(type order by i), array_agg(coalesce(replay_charged, 0) order by i),
         -- What was asked for together may be more than a number in JSON holds.
         array_agg(coalesce(replay_remaining, greatest(0, account_left - spent))::bigint order by i),
         array_agg(coalesce(replay_end, ends_at) order by i), array_agg(moment order by i), array_agg(starts_at order by i),
         array_agg(last_sequence order by i), array_agg(leader order by i), array_agg(is_fresh order by i),
         array_agg(account_left order by i), array_agg(key_left order by i),
         array_agg(account_number order by i), array_agg(key_number order by i),
         coalesce(bool_or(is_open and (account_asked > account_left or key_asked > key_left)), false),
         coalesce(bool_or(is_fresh and not is_known_operation and not (asked = 0 and idempotency_key is null)), false),
         coalesce(bool_or(leader <> i), false),
         coalesce(bool_or(is_fresh and is_stale), false)
    into verdicts, replays, keys, types, charged, lefts, ends, moments, starts, sequences, leads, fresh,
         account_lefts, key_lefts, account_numbers, key_numbers, is_tight, has_new_operation, has_followers, has_stale_use
    from (
      select looked.*,
             sum(asked) filter (where is_open) over (partition by account) as account_asked,
             sum(asked) filter (where is_open) over (partition by account, key_id) as key_asked,
             coalesce(sum(asked) filter (where is_open) over (partition by account order by i), 0) as spent,
             dense_rank() over (order by account) as account_number,
             dense_rank() over (order by account, key_id) as key_number
        from (
          select found.*,
                 -- To be decided by the credits that are left, and not by an earlier item of this batch.
                 decided is null and leader = i as is_open
            from (
              select resolved.*,
                     -- Of several items with one idempotency key the first decides, and the others follow it.
                     case when is_fresh and idempotency_key is not null
                          then min(i) filter (where is_fresh) over (partition by account, idempotency_key) else i end as leader
                from (
                  select item.i::int as i, item.account, item.asked, item.idempotency_key,
                         keys.id as key_id, keys.key_type as type,
                         event.verdict as replay, event.credits_charged as replay_charged, event.remaining as replay_remaining,
                         event.cycle_end as replay_end,
                         keys.id is not null and event.verdict is null as is_fresh,
                         accounts.last_sequence, accounts.billing_cycle_start as starts_at,
                         accounts.billing_cycle_end as ends_at,
                         greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment,
                         greatest(0, accounts.credits_per_cycle - accounts.credits_used) as account_left,
                         case when keys.credit_limit is not null
                              then greatest(0, keys.credit_limit - coalesce(used.credits_charged, 0)) end as key_left,
                         operation.operation is not null as is_known_operation,
                         least(coalesce(keys.last_used_at, '-infinity'), coalesce(secrets.last_used_at, '-infinity'))
                           < greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) - interval '1 minute' as is_stale,
                         case
                           when keys.id is null then 'not_found'
                           when event.verdict is not null and (event.api_key_id, event.credits_requested, event.operation)
                                = (keys.id, item.asked, item.operation) then event.verdict
                           when event.verdict is not null then 'conflict'
                           when keys.revoked_at is not null then 'revoked'
                           when keys.disabled_at is not null then 'disabled'
                           when least(keys.expires_at, secrets.valid_until) <= greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) then 'expired'
                           when accounts.suspended_at is not null then 'account_suspended'
                         end as decided
                    from unnest(user_ids, key_hashes, credits, idempotency_keys, operations)
                           with ordinality as item (account, key_hash, asked, idempotency_key, operation, i)
                    left join public.billing_accounts as accounts on accounts.user_id = item.account
                    left join public.api_key_secrets as secrets
                      on secrets.user_id = item.account and secrets.key_hash = item.key_hash and accounts.user_id is not null
                    left join public.api_keys as keys on keys.user_id = secrets.user_id and keys.id = secrets.api_key_id
                    left join lateral (
                      select events.* from public.api_key_usage as events
                       where events.user_id = item.account and events.idempotency_key = item.idempotency_key
                         -- The first names the partitions that need no look, the second is exact: by the account's time.
                         and events.created_at > v_now - remembered_for
                         and events.created_at > greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) - remembered_for
                         and events.created_at <= greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start)
                         and keys.id is not null
                       limit 1
                    ) as event on true
                    left join lateral (
                      select usage.credits_charged from public.api_key_cycle_usage as usage
                       where keys.credit_limit is not null and usage.user_id = keys.user_id and usage.api_key_id = keys.id
                         and usage.cycle_start = accounts.billing_cycle_start
                    ) as used on true
                    left join public.usage_operations as operation
                      on operation.user_id = item.account and operation.operation = item.operation
                ) as resolved
            ) as found
        ) as looked
    ) as everything;

  if is_tight or has_new_operation then
    -- Near the end of the credits, or with a label never seen: one by one.
    for n in 1 .. cardinality(verdicts) loop
      continue when not fresh[n] or leads[n] <> n;
      if left_of_account[account_numbers[n]] is null then
        left_of_account[account_numbers[n]] := account_lefts[n];
      end if;
      if left_of_key[key_numbers[n]] is null then
        left_of_key[key_numbers[n]] := key_lefts[n];
      end if;
      if not (credits[n] = 0 and idempotency_keys[n] is null)
         and not exists (select from public.usage_operations as o where o.user_id = user_ids[n] and o.operation = operations[n]) then
        select count(*) into known from public.usage_operations as o where o.user_id = user_ids[n];
        if known >= operations_max then
          verdicts[n] := 'operation_limit_exceeded';
          -- It leaves no trace: the next item with its idempotency key is decided for itself, and leads the rest.
          lead := null;
          for later in n + 1 .. cardinality(leads) loop
            continue when leads[later] <> n;
            lead := coalesce(lead, later);
            leads[later] := lead;
          end loop;
        else
          insert into public.usage_operations values (user_ids[n], operations[n]);
        end if;
      end if;
      if verdicts[n] is null then
        if credits[n] > left_of_account[account_numbers[n]] then
          verdicts[n] := 'insufficient_credits';
        elsif credits[n] > left_of_key[key_numbers[n]] then
          verdicts[n] := 'key_limit_exceeded';
        else
          verdicts[n] := 'charged';
          charged[n] := credits[n];
          left_of_account[account_numbers[n]] := left_of_account[account_numbers[n]] - credits[n];
          left_of_key[key_numbers[n]] := left_of_key[key_numbers[n]] - credits[n];
        end if;
      end if;
      lefts[n] := left_of_account[account_numbers[n]];
    end loop;
  else
    -- Enough for all: everything that is still open is charged.
    for n in 1 .. cardinality(verdicts) loop
      if verdicts[n] is null and leads[n] = n then
        verdicts[n] := 'charged';
        charged[n] := credits[n];
      end if;
    end loop;
  end if;

  if has_followers then
    for n in 1 .. cardinality(verdicts) loop
      lead := leads[n];
      continue when lead = n;
      if (keys[n], credits[n], operations[n]) = (keys[lead], credits[lead], operations[lead]) then
        verdicts[n] := verdicts[lead];
        charged[n] := charged[lead];
        lefts[n] := lefts[lead];
        replays[n] := true;
      else
        verdicts[n] := 'conflict';
      end if;
    end loop;
  end if;

  select array_agg(is_fresh and leader = i and decision <> 'operation_limit_exceeded' and not (asked = 0 and idempotency_key is null) order by i)
    into recorded
    from unnest(fresh, leads, verdicts, credits, idempotency_keys) with ordinality as item (is_fresh, leader, decision, asked, idempotency_key, i);

  if true = any(recorded) then
    insert into public.api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                      credits_requested, credits_charged, remaining, cycle_start, cycle_end)
      select account, last_sequence + row_number() over (partition by account order by i), moment, key_id, idempotency_key,
             operation, decision, asked, taken, remaining, starts_at, ends_at
        from unnest(user_ids, sequences, moments, keys, idempotency_keys, operations, verdicts, credits, charged, lefts, starts, ends, recorded)
               with ordinality as item (account, last_sequence, moment, key_id, idempotency_key, operation, decision, asked, taken,
                                        remaining, starts_at, ends_at, is_recorded, i)
       where is_recorded;

    insert into public.api_key_cycle_usage as kept (user_id, cycle_start, api_key_id, credits_charged, charges)
      select account, starts_at, key_id, sum(taken), count(*)
        from unnest(user_ids, starts, keys, charged, verdicts, recorded) as item (account, starts_at, key_id, taken, decision, is_recorded)
       where is_recorded and decision = 'charged'
       group by account, starts_at, key_id
       order by account, starts_at, key_id
      on conflict (user_id, api_key_id, cycle_start) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges;

    insert into public.api_key_quarter_hour_usage as kept (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
      select account, starts_at, key_id, operation, date_bin('15 minutes', moment, 'epoch') as quarter_hour, sum(taken), count(*)
        from unnest(user_ids, starts, keys, operations, moments, charged, verdicts, recorded)
               as item (account, starts_at, key_id, operation, moment, taken, decision, is_recorded)
       where is_recorded and decision = 'charged'
       group by account, starts_at, key_id, operation, date_bin('15 minutes', moment, 'epoch')
       order by account, starts_at, key_id, operation
      on conflict (user_id, api_key_id, cycle_start, operation, quarter_hour) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges;

    update public.billing_accounts as accounts
       set credits_used = accounts.credits_used + batch.taken,
           last_sequence = accounts.last_sequence + batch.events,
           last_event_at = batch.moment
      from (select account, sum(taken) as taken, count(*) as events, max(moment) as moment
              from unnest(user_ids, charged, moments, recorded) as item (account, taken, moment, is_recorded)
             where is_recorded group by account) as batch
     where accounts.user_id = batch.account;
  end if;

  -- Last use, to the minute: at most one write a minute for a key and its secret. Being good but out of credits is a use too.
  if has_stale_use then
    update public.api_keys as used set last_used_at = batch.moment
      from (select account, key_id, max(moment) as moment
              from unnest(user_ids, keys, moments, verdicts, fresh) as item (account, key_id, moment, decision, is_fresh)
             where is_fresh and decision in ('charged', 'insufficient_credits', 'key_limit_exceeded')
             group by account, key_id) as batch
     where used.user_id = batch.account and used.id = batch.key_id
       and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
    update public.api_key_secrets as used set last_used_at = batch.moment
      from (select account, key_hash, max(moment) as moment
              from unnest(user_ids, key_hashes, moments, verdicts, fresh) as item (account, key_hash, moment, decision, is_fresh)
             where is_fresh and decision in ('charged', 'insufficient_credits', 'key_limit_exceeded')
             group by account, key_hash) as batch
     where used.user_id = batch.account and used.key_hash = batch.key_hash
       and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
  end if;

  return query select * from unnest(verdicts, replays, keys, types, charged, lefts, ends);
end
$$;
revoke all on function public.charge_batch(uuid, uuid[], bytea[], bigint[], text[], text[]) from public, anon, authenticated, service_role;
grant execute on function public.charge_batch(uuid, uuid[], bytea[], bigint[], text[], text[]) to keymeter_api;
