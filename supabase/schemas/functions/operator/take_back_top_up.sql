-- Takes a top-up back, e.g. after a payment was reversed: `credits` of it, or all of it if `credits` is null. Takes back at most
-- what is left. All top-ups of an account are one balance, so the rest of a top-up is the smaller of two numbers: its credits
-- minus those that were taken back earlier, and the top-ups that the current cycle neither uses nor holds.
--
-- A retry with the same idempotency key returns the original answer and changes nothing, without a time limit. So the function
-- also writes an entry if nothing is left. It also writes the entry of the audit log. `origin` describes the call of the operator.
--
-- The function records the alerts of the thresholds that what is left reaches.
--
-- `credits_spent` are the credits that could not be taken back because they are spent or held. `is_conflict` is true if the
-- idempotency key was used for another request. Returns no row if the account has no top-up with the idempotency key
-- `top_up_key`. A refund that became a top-up has no idempotency key, so it cannot be taken back.
create function keymeter.take_back_top_up(
  account uuid, top_up_key text, credits bigint, idempotency_key text, note text, origin keymeter.call_origin
) returns table (is_replayed boolean, is_conflict boolean, credits_taken_back bigint, credits_spent bigint, created_at timestamptz)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
#variable_conflict use_column
declare
  top_up record;
  original record;
  entry record;
  state keymeter.metering_account;
  v_now timestamptz;
  v_wanted bigint;
  v_taken bigint;
begin
  if credits not between 1 and keymeter.max_credits_given() or idempotency_key is null then
    raise exception 'take_back_top_up: take back 1 to % credits, with an idempotency key', keymeter.max_credits_given()
      using errcode = '22023';
  end if;
  if not keymeter.lock_account(account) then
    return;
  end if;
  select entries.sequence, entries.credits into top_up from public.ledger_entries as entries
   where entries.user_id = account and entries.idempotency_key = top_up_key and entries.kind = 'top_up';
  if not found then
    return;
  end if;
  select entries.refers_to, entries.credits_requested, entries.credits, entries.credits_spent, entries.created_at into original
    from public.ledger_entries as entries
   where entries.user_id = account and entries.idempotency_key = take_back_top_up.idempotency_key;
  if found then
    return query select
      true, (original.refers_to, original.credits_requested) is distinct from (top_up.sequence, take_back_top_up.credits),
      - original.credits, original.credits_spent::bigint, original.created_at;
    return;
  end if;

  v_now := keymeter.now();
  perform keymeter.advance_accounts(array[account], v_now);
  select least(take_back_top_up.credits, top_up.credits + coalesce(sum(earlier.credits), 0)) into v_wanted
    from public.ledger_entries as earlier where earlier.user_id = account and earlier.refers_to = top_up.sequence;
  select least(v_wanted, greatest(0, top_up_balance - greatest(0, credits_used + credits_held - credits_per_cycle))) into v_taken
    from public.billing_accounts where user_id = account;
  with taken_back as (
    update public.billing_accounts as accounts
       set top_up_balance = accounts.top_up_balance - v_taken,
           topped_up_this_cycle = accounts.topped_up_this_cycle - v_taken,
           last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account
    returning accounts.last_ledger_sequence, accounts.billing_cycle_start,
              keymeter.account_time(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
  )
  insert into public.ledger_entries as entries
      (user_id, sequence, created_at, cycle_start, kind, credits, refers_to, credits_requested, credits_spent, idempotency_key, note)
    select account, last_ledger_sequence, moment, billing_cycle_start, 'take_back', - v_taken, top_up.sequence, take_back_top_up.credits,
           v_wanted - v_taken, take_back_top_up.idempotency_key, take_back_top_up.note
      from taken_back
  returning entries.sequence, entries.created_at into entry;
  if v_taken > 0 then
    state.user_id := account;
    state.moment := entry.created_at;
    select credits_used, credits_per_cycle + top_up_balance - credits_used into state.credits_used, state.lowest_left
      from public.billing_accounts where user_id = account;
    perform keymeter.record_alerts(array[state]);
  end if;
  perform keymeter.append_audit_entry(account, 'operator', null, 'account.top_up_taken_back', null,
    json_build_object('credits', v_taken, 'creditsSpent', v_wanted - v_taken, 'note', note, 'topUpSequence', top_up.sequence,
                      'ledgerSequence', entry.sequence),
    origin, entry.created_at);
  return query select false, false, v_taken, v_wanted - v_taken, entry.created_at;
end
$$;
