-- Decides all items of a batch and stores the decisions, in one call and one transaction. The items of an account are decided
-- in array order. The actions are:
--   charge   takes `credits` for the key whose secret has the hash `key_hash`;
--   hold     takes `credits` for `lifetime` seconds, until the cost of the work is known;
--   settle   charges `credits` against the hold `refers_to`, and gives the rest of the hold back. If `credits` are more than the
--            hold has, it charges the excess too, as far as the account and the key have credits left;
--   release  gives all credits of the hold `refers_to` back;
--   refund   gives back `credits` of the charge or settle `refers_to`.
--
-- The function first locks the accounts of the batch. Every other writer of an account, its keys or its credits locks the
-- account first too. So nothing that the function reads after the locks can change before the commit. Therefore a revoked key
-- cannot be charged any more, a credit is never spent twice, and the search for an idempotency key finds every earlier request.
--
-- `waits_for` selects what happens if another session has locked an account of the batch:
--   nobody     the function does not wait, and leaves out the items of the account;
--   batches    the function waits for other batches, and leaves out the items of an account that is being edited;
--   everybody  the function waits for every session.
-- An item that is left out is not decided. It gets the verdict account_busy if another batch has locked its account, and
-- otherwise account_locked. The server sends such an item again and never shows these verdicts to a client
-- (docs/decisions/0022-locked-accounts.md).
--
-- These verdicts are stored, and a retry with the same idempotency key returns them again: charged, held, settled, released,
-- refunded, revoked, disabled, expired, account_suspended, insufficient_credits, key_limit_exceeded, hold_expired, hold_ended,
-- exceeds_charge. These verdicts are not stored: not_found, conflict, operation_limit_exceeded, hold_limit_exceeded. The
-- verdict of a verify (a charge of 0 credits without an idempotency key) is not stored either.
--
-- `distribution_key` is the account of the first item. It has no effect: only a router between the server and several Postgres
-- servers could use it.
--
-- The planner settings force the plan of look_up_items: one index scan for each item, in the written order of the joins, even
-- if the tables are new and have no statistics.
create function keymeter.meter_batch(
  distribution_key uuid, actions text[], user_ids uuid[], key_hashes bytea[], refers_to bigint[], credits bigint[],
  idempotency_keys text[], operations text[], lifetimes int[], waits_for text default 'everybody'
) returns table (
  verdict text, is_replayed boolean, sequence bigint, api_key_id uuid, key_type text,
  credits_requested bigint, credits_charged bigint, remaining bigint, credits_held bigint, cycle_end timestamptz, expires_at timestamptz
)
  language plpgsql volatile security definer
  set search_path = '' set timezone = 'UTC'
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
  set join_collapse_limit = 1 set plan_cache_mode = force_generic_plan
  set lock_timeout = '1s'
  as $$
#variable_conflict use_column
declare
  locked uuid[];
  left_out text[];
  v_now timestamptz;
  latest timestamptz;
  known keymeter.metering_lookup;
  item keymeter.metering_item;
  account keymeter.metering_account;
  step keymeter.metering_step;
  items keymeter.metering_item[];
  accounts keymeter.metering_account[] := '{}';
  -- An item with one of these verdicts leaves no trace: the item is not stored, and a retry with the same idempotency key is
  -- decided again.
  traceless constant text[] := array['operation_limit_exceeded', 'hold_limit_exceeded'];
  -- These arrays are used only if an idempotency key occurs more than once in the batch. firsts[i] is the position of the first
  -- item with the same idempotency key as item i. leads[firsts[i]] is the position of the item with this idempotency key that
  -- was decided last. If its verdict is stored, later items with this idempotency key get its answer.
  firsts int[];
  leads int[] := '{}';
  -- granted + top-ups - used. Unlike item.remaining, it contains the held credits.
  credits_left bigint;
  has_events boolean := false; has_stale_use boolean := false; has_late_usage boolean := false; has_alerts boolean := false;
begin
  perform keymeter.check_batch(actions, user_ids, key_hashes, refers_to, credits, idempotency_keys, operations, lifetimes);
  items := array_fill(null::keymeter.metering_item, array[cardinality(user_ids)]);
  locked := keymeter.lock_accounts(user_ids, waits_for);
  if not user_ids <@ locked then
    left_out := keymeter.leave_out(user_ids, locked, waits_for);
    -- Without its account, an item is not found below. So nothing is decided about an account that is not locked.
    user_ids := array(select case when account = any(locked) then account end
                        from unnest(user_ids) with ordinality as given (account, n) order by n);
  end if;
  v_now := keymeter.now();
  latest := keymeter.advance_due_accounts(user_ids, v_now);
  firsts := keymeter.find_first_items(user_ids, idempotency_keys);

  for known in
    select * from keymeter.look_up_items(v_now, latest, actions, user_ids, key_hashes, refers_to, credits, idempotency_keys, operations, lifetimes)
  loop
    item := known.item;
    continue when item.api_key_id is null and (item.refers_to is null or item.action in ('charge', 'hold'));
    has_stale_use := has_stale_use or known.is_last_use_stale;
    if known.is_replay then
      items[item.position] := keymeter.replay(item, known.original, known.is_same_request);
      continue;
    end if;
    if firsts is not null and item.idempotency_key is not null then
      if (items[leads[firsts[item.position]]]).verdict <> all(traceless) then
        items[item.position] := keymeter.follow(item, items[leads[firsts[item.position]]]);
        continue;
      end if;
      leads[firsts[item.position]] := item.position;
    end if;
    if account.user_id is distinct from item.user_id then
      accounts := accounts || account;
      account := known.account;
    end if;

    if item.action in ('charge', 'hold') then
      step := keymeter.spend(item, account, known.refusal, known.credit_limit, known.is_known_operation);
    else
      credits_left := account.credits_granted + account.top_up_balance - account.credits_used;
      step := case item.action
        when 'refund' then keymeter.refund(item, account, items)
        else keymeter.end_hold(item, account, known.refusal, items)
      end;
      step.account := keymeter.note_returned_credits(step.account, credits_left);
    end if;
    item := step.item;
    account := step.account;

    if item.verdict <> all(traceless) then
      credits_left := account.credits_granted + account.top_up_balance - account.credits_used;
      item.remaining := least(greatest(0, credits_left - account.credits_held), keymeter.max_credits());
      if item.credits_requested <> 0 or item.idempotency_key is not null then
        has_events := true;
        account.last_event_sequence := account.last_event_sequence + 1;
        item.sequence := account.last_event_sequence;
      end if;
      has_late_usage := has_late_usage or (item.is_counted and coalesce(item.counted_at, item.moment) < known.usage_by_day_until);
      -- While no threshold is near, an item costs only this condition.
      if account.credits_used * 100 >= known.alert_from_usage or credits_left <= known.alert_from_left or account.has_new_period
         or (known.alerts_at_refusal and item.verdict = 'insufficient_credits' and item.credits_requested > credits_left) then
        -- A hold takes nothing from what is left, so its settle reaches the thresholds.
        if item.credits_charged > 0 or item.verdict = 'insufficient_credits' then
          account.lowest_left := least(account.lowest_left, greatest(0, credits_left), keymeter.max_credits());
          if item.credits_charged = 0 then
            account.is_short := account.is_short or item.credits_requested > credits_left;
          elsif item.cycle_start = account.cycle_start then
            account.peak_usage := greatest(account.peak_usage, account.credits_used);
          end if;
          has_alerts := true;
        end if;
      end if;
    end if;
    items[item.position] := item;
  end loop;
  accounts := accounts || account;

  if has_events then
    perform keymeter.record_events(items);
    perform keymeter.record_usage(items);
    perform keymeter.record_balances(accounts);
  end if;
  if has_late_usage then perform keymeter.record_late_usage(items); end if;
  if has_alerts then perform keymeter.record_alerts(accounts); end if;
  if has_stale_use then perform keymeter.record_last_use(user_ids, key_hashes, v_now); end if;

  return query select * from keymeter.answers(items, credits, left_out);
end
$$;
