-- Decides a refund. A refund counts in the cycle of its charge, at the time of the charge. If that cycle has ended, the refund
-- becomes a top-up, and the usage of that cycle does not change. Such a refund is refused if the account would have more than
-- keymeter.max_credits() credits. If the charge does not exist, the returned item has no verdict (keymeter.answers then returns
-- `not_found`).
--
-- `items` are all items of the batch. Earlier refunds of the same charge are subtracted from the charge. Those of this batch
-- are not in api_key_usage yet, so they are read from `items`.
create function keymeter.refund(item keymeter.metering_item, account keymeter.metering_account, items keymeter.metering_item[])
  returns keymeter.metering_step
  language plpgsql volatile set search_path = ''
  as $$
declare
  charge record;
begin
  -- The server never sends such a refund. Its event would look like a refund that became a top-up.
  if item.credits_requested = 0 then
    raise exception 'meter_batch: a refund must have at least 1 credit' using errcode = '22023';
  end if;
  select events.api_key_id, events.operation, events.cycle_start, coalesce(events.counted_at, events.created_at) as counted_at,
         events.credits_charged
         - (select coalesce(sum(refunds.credits_requested), 0) from public.api_key_usage as refunds
             where refunds.user_id = item.user_id and refunds.refers_to = item.refers_to and refunds.verdict = 'refunded')
         - (select coalesce(sum(refunds.credits_requested), 0) from unnest(items) as refunds
             where refunds.user_id = item.user_id and refunds.refers_to = item.refers_to and refunds.verdict = 'refunded'
               and not refunds.is_replayed) as refundable
    into charge
    from public.api_key_usage as events
   where events.user_id = item.user_id and events.sequence = item.refers_to and events.verdict in ('charged', 'settled');
  if not found then
    return row(item, account);
  end if;
  item.api_key_id := charge.api_key_id;
  item.operation := charge.operation;

  if item.credits_requested > charge.refundable
     or (charge.cycle_start <> account.cycle_start and not keymeter.may_add_credits(
           item.user_id, item.credits_requested, account.credits_granted + account.top_up_balance)) then
    item.verdict := 'exceeds_charge';
  else
    item.verdict := 'refunded';
    account.last_ledger_sequence := account.last_ledger_sequence + 1;
    insert into public.ledger_entries (user_id, sequence, created_at, cycle_start, kind, credits, event_sequence)
      values (item.user_id, account.last_ledger_sequence, item.moment, account.cycle_start,
              case charge.cycle_start when account.cycle_start then 'refund' else 'refund_top_up' end,
              item.credits_requested, account.last_event_sequence + 1);
    if charge.cycle_start = account.cycle_start then
      item.is_counted := true;
      item.credits_charged := - item.credits_requested;
      account.credits_used := account.credits_used - item.credits_requested;
    else
      account.top_up_balance := account.top_up_balance + item.credits_requested;
      account.topped_up_this_cycle := account.topped_up_this_cycle + item.credits_requested;
    end if;
  end if;
  return keymeter.give_back(item, account, charge.cycle_start, charge.counted_at);
end
$$;
