-- An account has at most 10,000 holds open at a time. Nothing bounded them, and holds that run out are all ended by what is
-- next written to the account: of a million that took longer than a statement may, and so the account, and whoever was in a
-- batch with it, could not be charged any more.

-- What takes and gives back credits. Takes a batch, decides each item in the order of the arrays, and writes what it
-- decided: one call, one commit. By `action`:
--   charge   takes `credits` of the account `user_id` for the key whose secret hashes to `key_hash`;
--   hold     takes them for `lifetime` seconds, until it is known what the work costs;
--   settle   charges `credits` of the hold that the event `refers_to` made, and gives the rest of it back;
--   release  gives a hold back;
--   refund   gives back `credits` of what the event `refers_to` charged.
--
-- Exact, because whoever changes an account, its keys or its credits locks the account's row first, in the order of ids:
-- nothing that is read here after the lock can change before the commit. So a revoke counts from the next charge, a balance
-- is never granted twice, and looking for an earlier request with the same idempotency key finds every one.
--
-- Verdicts: charged, held, settled, released, refunded; revoked, disabled, expired, account_suspended,
-- insufficient_credits, key_limit_exceeded, hold_expired, hold_ended, exceeds_hold, exceeds_charge, which are remembered
-- too; not_found, conflict, operation_limit_exceeded, hold_limit_exceeded, which leave no trace. A verify (a charge of 0 credits without an
-- idempotency key) leaves none either.
--
-- A settle counts in the cycle and the quarter of an hour of its hold, a refund in those of its charge. Once the cycle of a
-- charge has ended, a refund of it becomes a top-up instead.
--
-- `route` is the first item's account. On one Postgres it means nothing; where tables are distributed by account, the
-- function is distributed by it, and a batch holds one account.
--
-- The settings keep the plan what it must be, one index look-up an item in the order of the joins, on tables that are new
-- and have no statistics yet.
create or replace function public.meter_batch(
  route uuid, actions text[], user_ids uuid[], key_hashes bytea[], refers_to bigint[], credits bigint[],
  idempotency_keys text[], operations text[], lifetimes int[]
) returns table (
  verdict text, is_replayed boolean, sequence bigint, api_key_id uuid, key_type text,
  credits_requested bigint, credits_charged bigint, remaining bigint, cycle_end timestamptz, expires_at timestamptz
)
  language plpgsql volatile security definer
  set search_path = '' set timezone = 'UTC'
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
  set join_collapse_limit = 1 set plan_cache_mode = force_generic_plan
  -- One account that somebody holds must not hold up the batch for long.
  set lock_timeout = '1s'
  as $$
#variable_conflict use_column
declare
  operations_max constant int := 100;
  -- Open at a time: when they run out, all at once, the next charge of the account waits until each of them is ended.
  holds_max constant int := 10000;
  remembered_for constant interval := interval '35 days';
  size constant int := cardinality(user_ids);
  v_now timestamptz; v_latest timestamptz;
  item record; about record; named record;
  i int; a int := 0; lead int; available bigint; freed bigint; is_verify boolean;
  is_due boolean; has_events boolean := false; has_stale_use boolean := false; has_alerts boolean := false; has_late_usage boolean := false;
  -- One element an item. With a sequence it becomes an event; of what `counts` the roll-ups are kept.
  verdicts text[] := array_fill(null::text, array[size]); replays boolean[] := array_fill(false, array[size]);
  sequences bigint[] := array_fill(null::bigint, array[size]); fresh boolean[] := array_fill(false, array[size]);
  keys uuid[] := array_fill(null::uuid, array[size]); types text[] := array_fill(null::text, array[size]);
  charged bigint[] := array_fill(0::bigint, array[size]); held bigint[] := array_fill(0::bigint, array[size]);
  lefts bigint[] := array_fill(null::bigint, array[size]); counts boolean[] := array_fill(false, array[size]);
  starts timestamptz[] := array_fill(null::timestamptz, array[size]); ends timestamptz[] := array_fill(null::timestamptz, array[size]);
  moments timestamptz[] := array_fill(null::timestamptz, array[size]);
  used_ats timestamptz[] := array_fill(null::timestamptz, array[size]); expiries timestamptz[] := array_fill(null::timestamptz, array[size]);
  -- One element an account, as its items are decided.
  account_ids uuid[] := '{}'; account_moments timestamptz[] := '{}'; account_sequences bigint[] := '{}'; account_ledgers bigint[] := '{}';
  account_used bigint[] := '{}'; account_held bigint[] := '{}'; account_top_ups bigint[] := '{}'; account_topped_up bigint[] := '{}';
  account_expiries timestamptz[] := '{}'; account_peaks bigint[] := '{}';
  -- Open holds; null: not counted, since nothing was to be held.
  account_open_holds int[] := '{}';
  -- Keys with a limit, and what they have left: less than nothing after a limit was lowered.
  limited_keys uuid[] := '{}'; limited_lefts bigint[] := '{}'; limited int;
  -- Where an idempotency key stands more than once in the batch: each item's first one, and by that the one that decided.
  firsts int[]; leads int[] := array_fill(null::int, array[size]);
begin
  perform from public.billing_accounts where user_id = any(user_ids) order by user_id for no key update;
  v_now := public.keymeter_now();
  -- An account's time never runs backwards, whatever the clock does: not before its last event or its cycle.
  select bool_or(least(billing_cycle_end, holds_expire_at, usage_days_due_at) <= greatest(v_now, last_event_at, billing_cycle_start)),
         max(greatest(v_now, last_event_at, billing_cycle_start))
    into is_due, v_latest
    from public.billing_accounts where user_id = any(user_ids);
  if is_due then
    perform public.advance_accounts(user_ids, v_now);
  end if;

  if exists (
    select from unnest(user_ids, idempotency_keys) as given (account, idempotency_key)
     where idempotency_key is not null group by account, idempotency_key having count(*) > 1
  ) then
    select array_agg(first order by n) into firsts
      from (select n, min(n) over (partition by account, idempotency_key)::int as first
              from unnest(user_ids, idempotency_keys) with ordinality as given (account, idempotency_key, n)) as found;
  end if;

  -- Everything that the decision on a key needs, in one look, account by account.
  for item in
    select given.i::int as i, given.action, given.account, given.asked, given.idempotency_key, given.operation, given.refers_to, given.lifetime,
           keys.id as key_id, keys.key_type as type,
           event.verdict as replay, event.sequence as replay_sequence, event.api_key_id as replay_key, event.credits_requested as replay_requested,
           event.credits_charged as replay_charged, event.remaining as replay_remaining, event.cycle_end as replay_end, event.expires_at as replay_expiry,
           event.action = given.action and event.refers_to is not distinct from given.refers_to
             and (given.action = 'release' or event.credits_requested = given.asked)
             and (given.refers_to is not null or (event.api_key_id = keys.id and event.operation = given.operation))
             and (given.lifetime is null or event.expires_at = event.created_at + make_interval(secs => given.lifetime)) as is_same_request,
           accounts.last_sequence, accounts.last_ledger_sequence, accounts.billing_cycle_start as starts_at, accounts.billing_cycle_end as ends_at,
           accounts.credits_per_cycle as granted, accounts.credits_used, accounts.credits_held, accounts.top_up_credits, accounts.credits_topped_up,
           accounts.holds_expire_at, accounts.usage_days_until, accounts.alert_thresholds[1] * accounts.credits_per_cycle as alert_from,
           greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment,
           keys.credit_limit,
           operation.operation is not null as is_known_operation,
           least(coalesce(keys.last_used_at, '-infinity'), coalesce(secrets.last_used_at, '-infinity'))
             < greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) - interval '1 minute' as is_stale,
           case
             when keys.revoked_at is not null then 'revoked'
             when keys.disabled_at is not null then 'disabled'
             when least(keys.expires_at, secrets.valid_until) <= greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start) then 'expired'
             when accounts.suspended_at is not null then 'account_suspended'
           end as refusal
      from unnest(actions, user_ids, key_hashes, refers_to, credits, idempotency_keys, operations, lifetimes)
             with ordinality as given (action, account, key_hash, refers_to, asked, idempotency_key, operation, lifetime, i)
      join public.billing_accounts as accounts on accounts.user_id = given.account
      left join public.api_key_secrets as secrets on secrets.user_id = given.account and secrets.key_hash = given.key_hash
      left join public.api_keys as keys on keys.user_id = secrets.user_id and keys.id = secrets.api_key_id
      left join lateral (
        select events.* from public.api_key_usage as events
         where events.user_id = given.account and events.idempotency_key = given.idempotency_key
           -- The first two name the partitions that need a look, once for the batch. The third is exact: by the account's time.
           and events.created_at > v_now - remembered_for and events.created_at <= v_latest
           and events.created_at + remembered_for > greatest(v_now, accounts.last_event_at, accounts.billing_cycle_start)
         limit 1
      ) as event on true
      left join public.usage_operations as operation
        on operation.user_id = given.account and operation.operation = given.operation
     order by given.account, given.i
  loop
    continue when item.key_id is null and item.refers_to is null;
    i := item.i;
    keys[i] := item.key_id;
    types[i] := item.type;
    if item.replay is not null then
      verdicts[i] := case when item.is_same_request then item.replay else 'conflict' end;
      replays[i] := true;
      sequences[i] := item.replay_sequence;
      credits[i] := item.replay_requested;
      charged[i] := item.replay_charged;
      lefts[i] := item.replay_remaining;
      ends[i] := item.replay_end;
      expiries[i] := item.replay_expiry;
      if item.refers_to is not null then
        keys[i] := item.replay_key;
        types[i] := (select keys.key_type from public.api_keys as keys where keys.user_id = item.account and keys.id = item.replay_key);
      end if;
      continue;
    end if;

    -- Of several items with one idempotency key the first decides, and the others follow it. One that left no trace does not
    -- stand in the way of the next.
    if firsts is not null and item.idempotency_key is not null then
      lead := leads[firsts[i]];
      if verdicts[lead] not in ('operation_limit_exceeded', 'hold_limit_exceeded') then
        if (actions[lead], refers_to[lead], lifetimes[lead]) is not distinct from (item.action, item.refers_to, item.lifetime)
           and (item.action = 'release' or credits[lead] = item.asked)
           and (item.refers_to is not null or (keys[lead] = item.key_id and operations[lead] = item.operation)) then
          verdicts[i] := verdicts[lead];
          replays[i] := true;
          keys[i] := keys[lead];
          types[i] := types[lead];
          credits[i] := credits[lead];
          charged[i] := charged[lead];
          lefts[i] := lefts[lead];
          ends[i] := ends[lead];
          expiries[i] := expiries[lead];
          sequences[i] := sequences[lead];
        else
          verdicts[i] := 'conflict';
        end if;
        continue;
      end if;
      leads[firsts[i]] := i;
    end if;

    if a = 0 or account_ids[a] <> item.account then
      a := a + 1;
      account_ids[a] := item.account;
      account_moments[a] := item.moment;
      account_sequences[a] := item.last_sequence;
      account_ledgers[a] := item.last_ledger_sequence;
      account_used[a] := item.credits_used;
      account_held[a] := item.credits_held;
      account_top_ups[a] := item.top_up_credits;
      account_topped_up[a] := item.credits_topped_up;
      account_expiries[a] := item.holds_expire_at;
      account_peaks[a] := 0;
      account_open_holds[a] := null;
    end if;
    moments[i] := item.moment;
    starts[i] := item.starts_at;
    ends[i] := item.ends_at;
    is_verify := false;

    if item.refers_to is null then
      fresh[i] := true;
      has_stale_use := has_stale_use or item.is_stale;
      is_verify := item.asked = 0 and item.idempotency_key is null;
      -- Of a refused hold too: a retry asks for the same lifetime.
      expiries[i] := item.moment + make_interval(secs => item.lifetime);
      verdicts[i] := item.refusal;
      if item.action = 'hold' and item.refusal is null then
        -- By credit_holds_open_idx: from now on, past what has ended, which is in the index for as long as anybody may read it.
        -- What this batch has held and ended counts.
        if account_open_holds[a] is null then
          account_open_holds[a] := (
            select count(*) from (select from public.credit_holds as holds
                                   where holds.user_id = item.account and holds.outcome is null and holds.expires_at > item.moment
                                   limit holds_max + size) as open);
        end if;
        if account_open_holds[a] >= holds_max then
          verdicts[i] := 'hold_limit_exceeded';
          continue;
        end if;
      end if;
      if not item.is_known_operation and not is_verify then
        -- Not known to the look, but maybe by an item before this one.
        if not exists (select from public.usage_operations as known where known.user_id = item.account and known.operation = item.operation) then
          if (select count(*) from public.usage_operations as known where known.user_id = item.account) >= operations_max then
            verdicts[i] := 'operation_limit_exceeded';
            continue;
          end if;
          insert into public.usage_operations values (item.account, item.operation);
        end if;
      end if;
      available := greatest(0, item.granted + account_top_ups[a] - account_used[a] - account_held[a]);
      if verdicts[i] is null then
        limited := null;
        if item.credit_limit is not null then
          limited := array_position(limited_keys, item.key_id);
          if limited is null then
            limited_keys := limited_keys || item.key_id;
            limited_lefts := limited_lefts || item.credit_limit - coalesce(
              (select used.credits_charged + used.credits_held from public.api_key_cycle_usage as used
                where used.user_id = item.account and used.api_key_id = item.key_id and used.cycle_start = item.starts_at), 0);
            limited := cardinality(limited_keys);
          end if;
        end if;
        if item.asked > available then
          verdicts[i] := 'insufficient_credits';
        elsif limited is not null and item.asked > greatest(0, limited_lefts[limited]) then
          verdicts[i] := 'key_limit_exceeded';
        else
          available := available - item.asked;
          if limited is not null then
            limited_lefts[limited] := limited_lefts[limited] - item.asked;
          end if;
          if item.action = 'charge' then
            verdicts[i] := 'charged';
            charged[i] := item.asked;
            account_used[a] := account_used[a] + item.asked;
          else
            verdicts[i] := 'held';
            held[i] := item.asked;
            account_open_holds[a] := account_open_holds[a] + 1;
            account_held[a] := account_held[a] + item.asked;
            account_expiries[a] := least(account_expiries[a], expiries[i]);
            insert into public.credit_holds (user_id, sequence, api_key_id, operation, credits, cycle_start, created_at, expires_at)
              values (item.account, account_sequences[a] + 1, item.key_id, item.operation, item.asked, item.starts_at, item.moment, expiries[i]);
          end if;
          counts[i] := not is_verify;
        end if;
      end if;
    else
      if item.action = 'refund' then
        select events.api_key_id, events.operation, events.cycle_start, coalesce(events.used_at, events.created_at) as used_at,
               null::text as outcome,
               -- Less what was refunded before this batch and in it.
               (events.credits_charged
                - (select coalesce(sum(refunds.credits_requested), 0) from public.api_key_usage as refunds
                    where refunds.user_id = item.account and refunds.refers_to = item.refers_to and refunds.verdict = 'refunded')
                - (select coalesce(sum(asked), 0) from unnest(user_ids, meter_batch.refers_to, meter_batch.credits, verdicts, replays) as earlier (account, refers_to, asked, decision, is_replay)
                    where account = item.account and earlier.refers_to = item.refers_to and decision = 'refunded' and not is_replay))::bigint as credits
          into about
          from public.api_key_usage as events
         where events.user_id = item.account and events.sequence = item.refers_to and events.verdict in ('charged', 'settled');
      else
        select holds.api_key_id, holds.operation, holds.cycle_start, holds.created_at as used_at, holds.outcome, holds.credits
          into about
          from public.credit_holds as holds
         where holds.user_id = item.account and holds.sequence = item.refers_to;
      end if;
      continue when not found;
      keys[i] := about.api_key_id;
      operations[i] := about.operation;
      if item.action = 'release' then
        credits[i] := about.credits;
      end if;
      -- A key with a limit can spend again what it gets back in the cycle.
      limited := array_position(limited_keys, about.api_key_id);
      select keys.key_type, keys.credit_limit - coalesce(used.credits_charged + used.credits_held, 0) as key_left
        into named
        from public.api_keys as keys
        left join public.api_key_cycle_usage as used
          on used.user_id = keys.user_id and used.api_key_id = keys.id and used.cycle_start = item.starts_at
       where keys.user_id = item.account and keys.id = about.api_key_id;
      types[i] := named.key_type;
      if limited is null and named.key_left is not null then
        limited_keys := limited_keys || about.api_key_id;
        limited_lefts := limited_lefts || named.key_left;
        limited := cardinality(limited_keys);
      end if;

      if about.outcome is not null then
        verdicts[i] := case about.outcome when 'expired' then 'hold_expired' else 'hold_ended' end;
      elsif item.action = 'refund' and item.asked > about.credits then
        verdicts[i] := 'exceeds_charge';
      elsif item.action = 'settle' and item.asked > about.credits then
        verdicts[i] := 'exceeds_hold';
      elsif item.action = 'refund' then
        verdicts[i] := 'refunded';
        account_ledgers[a] := account_ledgers[a] + 1;
        insert into public.ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits, event_sequence)
          values (item.account, account_ledgers[a], item.moment, item.starts_at,
                  case about.cycle_start when item.starts_at then 'refund' else 'refund_top_up' end, item.asked, account_sequences[a] + 1);
        if about.cycle_start = item.starts_at then
          charged[i] := -item.asked;
          counts[i] := true;
          account_used[a] := account_used[a] - item.asked;
        else
          -- The usage of a cycle that has ended stays as it is.
          account_top_ups[a] := account_top_ups[a] + item.asked;
          account_topped_up[a] := account_topped_up[a] + item.asked;
        end if;
      else
        verdicts[i] := case item.action when 'settle' then 'settled' else 'released' end;
        update public.credit_holds as holds set outcome = verdicts[i], ended_at = item.moment
         where holds.user_id = item.account and holds.sequence = item.refers_to;
        charged[i] := case item.action when 'settle' then item.asked else 0 end;
        held[i] := -about.credits;
        account_open_holds[a] := account_open_holds[a] - 1;
        counts[i] := true;
        if about.cycle_start = item.starts_at then
          account_used[a] := account_used[a] + charged[i];
          account_held[a] := account_held[a] + held[i];
        else
          -- Its cycle took top-ups for as long as it held; what it took too much, the account has again.
          update public.billing_cycles as closed
             set credits_used = closed.credits_used + charged[i], credits_held = closed.credits_held + held[i]
           where closed.user_id = item.account and closed.cycle_start = about.cycle_start
          returning greatest(0, closed.credits_used - charged[i] + closed.credits_held - held[i] - closed.credits_granted)
                    - greatest(0, closed.credits_used + closed.credits_held - closed.credits_granted) into freed;
          account_top_ups[a] := account_top_ups[a] + coalesce(freed, 0);
        end if;
      end if;
      if counts[i] then
        starts[i] := about.cycle_start;
        used_ats[i] := about.used_at;
        if limited is not null and about.cycle_start = item.starts_at then
          limited_lefts[limited] := limited_lefts[limited] - charged[i] - held[i];
        end if;
      end if;
      available := greatest(0, item.granted + account_top_ups[a] - account_used[a] - account_held[a]);
    end if;

    if counts[i] and coalesce(used_ats[i], item.moment) < item.usage_days_until then
      has_late_usage := true;
    end if;
    -- As much as a number in JSON holds: refunds may give more.
    lefts[i] := least(available, 9007199254740991);
    if not is_verify then
      account_sequences[a] := account_sequences[a] + 1;
      sequences[i] := account_sequences[a];
      has_events := true;
      if charged[i] > 0 and starts[i] = item.starts_at and account_used[a] > account_peaks[a] then
        account_peaks[a] := account_used[a];
        has_alerts := has_alerts or account_used[a] * 100 >= item.alert_from;
      end if;
    end if;
  end loop;

  if has_events then
    insert into public.api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                      credits_requested, credits_charged, remaining, cycle_start, cycle_end,
                                      action, refers_to, used_at, expires_at)
      select account, sequence, moment, key_id, idempotency_key, operation, decision, asked, taken, remaining, starts_at, ends_at,
             action, refers_to, used_at, expires_at
        from unnest(user_ids, sequences, moments, keys, idempotency_keys, operations, verdicts, credits, charged, lefts, starts, ends,
                    actions, refers_to, used_ats, expiries, replays)
               as decided (account, sequence, moment, key_id, idempotency_key, operation, decision, asked, taken, remaining, starts_at, ends_at,
                           action, refers_to, used_at, expires_at, is_replay)
       where sequence is not null and not is_replay;

    insert into public.api_key_cycle_usage as kept (user_id, cycle_start, api_key_id, credits_charged, charges, credits_held)
      select account, starts_at, key_id, sum(taken), count(*) filter (where decision in ('charged', 'settled')), sum(held)
        from unnest(user_ids, starts, keys, charged, held, verdicts, counts) as decided (account, starts_at, key_id, taken, held, decision, counts)
       where counts
       group by account, starts_at, key_id
       order by account, starts_at, key_id
      on conflict (user_id, api_key_id, cycle_start) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges,
             credits_held = kept.credits_held + excluded.credits_held;

    insert into public.api_key_quarter_hour_usage as kept
        (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges, credits_refunded)
      select account, starts_at, key_id, operation, date_bin('15 minutes', coalesce(used_at, moment), 'epoch') as quarter_hour,
             sum(taken), count(*) filter (where decision <> 'refunded'), coalesce(-sum(taken) filter (where decision = 'refunded'), 0)
        from unnest(user_ids, starts, keys, operations, moments, used_ats, charged, verdicts, counts)
               as decided (account, starts_at, key_id, operation, moment, used_at, taken, decision, counts)
       where counts and decision in ('charged', 'settled', 'refunded')
       group by account, starts_at, key_id, operation, date_bin('15 minutes', coalesce(used_at, moment), 'epoch')
       order by account, starts_at, key_id, operation
      on conflict (user_id, api_key_id, cycle_start, operation, quarter_hour) do update
         set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges,
             credits_refunded = kept.credits_refunded + excluded.credits_refunded;

    -- Of quarters of an hour that are in the days already: what was asked for then.
    if has_late_usage then
      perform public.add_to_usage_days(array_agg(user_id), array_agg(starts_at), array_agg(key_id), array_agg(operation), array_agg(quarter_hour),
                                       array_agg(taken), array_agg((decision <> 'refunded')::int::bigint), array_agg(case decision when 'refunded' then -taken else 0 end))
        from unnest(user_ids, starts, keys, operations, moments, used_ats, charged, verdicts, counts)
               as decided (account, starts_at, key_id, operation, moment, used_at, taken, decision, counts)
        join public.billing_accounts on user_id = account
       cross join lateral date_bin('15 minutes', coalesce(used_at, moment), 'epoch') as quarter_hour
       where counts and decision in ('charged', 'settled', 'refunded') and quarter_hour < usage_days_until;
    end if;

    update public.billing_accounts as accounts
       set credits_used = batch.used, credits_held = batch.held, top_up_credits = batch.top_ups, credits_topped_up = batch.topped_up,
           holds_expire_at = batch.expiry, last_sequence = batch.sequence, last_ledger_sequence = batch.ledger, last_event_at = batch.moment
      from unnest(account_ids, account_used, account_held, account_top_ups, account_topped_up, account_expiries, account_sequences,
                  account_ledgers, account_moments)
             as batch (account, used, held, top_ups, topped_up, expiry, sequence, ledger, moment)
     where accounts.user_id = batch.account and accounts.last_sequence < batch.sequence;
  end if;

  -- Once a cycle for each threshold that the cycle's usage has reached.
  if has_alerts then
    insert into public.alert_firings (user_id, cycle_start, threshold, created_at, credits_used, credits_granted)
      select batch.account, reached.billing_cycle_start, threshold, batch.moment, batch.peak, reached.credits_per_cycle
        from unnest(account_ids, account_peaks, account_moments) as batch (account, peak, moment)
        join public.billing_accounts as reached on reached.user_id = batch.account
       cross join lateral unnest(reached.alert_thresholds) as threshold
       where batch.peak > 0 and reached.credits_per_cycle > 0 and batch.peak * 100 >= threshold * reached.credits_per_cycle
      on conflict do nothing;
  end if;

  -- Last use, to the minute: at most one write a minute for a key and its secret. Being good but out of credits is a use too.
  if has_stale_use then
    update public.api_keys as used set last_used_at = batch.moment
      from (select account, key_id, max(moment) as moment
              from unnest(user_ids, keys, moments, verdicts, fresh) as item (account, key_id, moment, decision, is_fresh)
             where is_fresh and decision in ('charged', 'held', 'insufficient_credits', 'key_limit_exceeded')
             group by account, key_id) as batch
     where used.user_id = batch.account and used.id = batch.key_id
       and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
    update public.api_key_secrets as used set last_used_at = batch.moment
      from (select account, key_hash, max(moment) as moment
              from unnest(user_ids, key_hashes, moments, verdicts, fresh) as item (account, key_hash, moment, decision, is_fresh)
             where is_fresh and decision in ('charged', 'held', 'insufficient_credits', 'key_limit_exceeded')
             group by account, key_hash) as batch
     where used.user_id = batch.account and used.key_hash = batch.key_hash
       and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
  end if;

  return query
    select coalesce(decision, 'not_found'), is_replay, event_sequence, key_id, type, asked, taken, left_over, ends_at, expiry
      from unnest(verdicts, replays, sequences, keys, types, credits, charged, lefts, ends, expiries)
             as decided (decision, is_replay, event_sequence, key_id, type, asked, taken, left_over, ends_at, expiry);
end
$$;
