-- Stores the balances of the accounts of a batch. An account without a new usage event has not changed, so it is not written.
create function keymeter.record_balances(accounts keymeter.metering_account[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  update public.billing_accounts as stored
     set credits_used = batch.credits_used, credits_held = batch.credits_held, top_up_balance = batch.top_up_balance,
         topped_up_this_cycle = batch.topped_up_this_cycle, holds_expire_at = batch.holds_expire_at,
         last_event_sequence = batch.last_event_sequence, last_ledger_sequence = batch.last_ledger_sequence, last_event_at = batch.moment
    from unnest(accounts) as batch
   where stored.user_id = batch.user_id and stored.last_event_sequence < batch.last_event_sequence;
end
$$;
