-- Adds a top-up to an account. A retry with the same idempotency key returns the original ledger entry and changes nothing,
-- without a time limit.
--
-- The function also writes the entry of the audit log, so credits never appear without an entry. `origin` describes the call of
-- the operator.
--
-- `is_conflict` is true if the original top-up had a different number of credits, or if the idempotency key belongs to a request
-- that took a top-up back. `is_too_much` is true if the account would have more than keymeter.max_credits() credits. `is_closed` is true if
-- the account is closed. In all three cases, nothing is granted. Returns no row if the account does not exist.
create function keymeter.grant_top_up(account uuid, credits bigint, idempotency_key text, note text, origin keymeter.call_origin)
  returns table (is_replayed boolean, is_conflict boolean, is_too_much boolean, is_closed boolean, sequence bigint, created_at timestamptz)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
#variable_conflict use_column
declare
  original record;
  granted record;
  v_now timestamptz;
begin
  if credits is null or credits not between 1 and keymeter.max_credits_given() or idempotency_key is null then
    raise exception 'grant_top_up: grant 1 to % credits, with an idempotency key', keymeter.max_credits_given() using errcode = '22023';
  end if;
  if not keymeter.lock_account(account) then
    return;
  end if;
  select entries.sequence, entries.created_at, entries.credits, entries.kind into original from public.ledger_entries as entries
   where entries.user_id = account and entries.idempotency_key = grant_top_up.idempotency_key;
  if found then
    return query select true, original.kind <> 'top_up' or original.credits <> grant_top_up.credits, false, false, original.sequence, original.created_at;
    return;
  end if;
  if exists (select from public.billing_accounts where user_id = account and closed_at is not null) then
    return query select false, false, false, true, null::bigint, null::timestamptz;
    return;
  end if;
  v_now := keymeter.now();
  perform keymeter.advance_accounts(array[account], v_now);
  if not keymeter.may_add_credits(account, grant_top_up.credits) then
    return query select false, false, true, false, null::bigint, null::timestamptz;
    return;
  end if;
  with topped_up as (
    update public.billing_accounts as accounts
       set top_up_balance = accounts.top_up_balance + grant_top_up.credits,
           topped_up_this_cycle = accounts.topped_up_this_cycle + grant_top_up.credits,
           last_ledger_sequence = accounts.last_ledger_sequence + 1
     where accounts.user_id = account
    returning accounts.last_ledger_sequence, accounts.billing_cycle_start,
              keymeter.account_time(v_now, accounts.last_event_at, accounts.billing_cycle_start) as moment
  )
  insert into public.ledger_entries as entries (user_id, sequence, created_at, cycle_start, kind, credits, idempotency_key, note)
    select account, last_ledger_sequence, moment, billing_cycle_start, 'top_up', grant_top_up.credits, grant_top_up.idempotency_key, grant_top_up.note
      from topped_up
  returning entries.sequence, entries.created_at into granted;
  perform keymeter.begin_alert_period(account, false);
  perform keymeter.append_audit_entry(account, 'operator', null, 'account.topped_up', null,
    json_build_object('credits', credits, 'note', note, 'ledgerSequence', granted.sequence), origin, granted.created_at);
  return query select false, false, false, false, granted.sequence, granted.created_at;
end
$$;
