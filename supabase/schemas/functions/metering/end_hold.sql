-- Decides a settle or a release. The credits of a settle count in the cycle of the hold, at the time of the hold. If the hold
-- does not exist, the returned item has no verdict (keymeter.answers then returns `not_found`).
--
-- A settle can ask for more credits than the hold has. It then also charges what keymeter.collectible_excess allows of the rest.
-- The event stores the requested and the charged credits. Their difference is the number of credits that were not collected.
create function keymeter.end_hold(
  item keymeter.metering_item, account keymeter.metering_account, refusal text, items keymeter.metering_item[]
) returns keymeter.metering_step
  language plpgsql volatile set search_path = ''
  as $$
declare
  hold record;
  freed bigint;
begin
  select holds.api_key_id, holds.operation, holds.cycle_start, holds.created_at, holds.outcome, holds.credits into hold
    from public.credit_holds as holds where holds.user_id = item.user_id and holds.sequence = item.refers_to;
  if not found then
    return row(item, account);
  end if;
  item.api_key_id := hold.api_key_id;
  item.operation := hold.operation;
  if item.action = 'release' then
    item.credits_requested := hold.credits;
  end if;

  if hold.outcome is not null then
    item.verdict := case hold.outcome when 'expired' then 'hold_expired' else 'hold_ended' end;
  else
    item.verdict := case item.action when 'settle' then 'settled' else 'released' end;
    if item.action = 'settle' then
      item.credits_charged := least(item.credits_requested, hold.credits);
      if item.credits_requested > hold.credits then
        item.credits_charged := hold.credits + keymeter.collectible_excess(
          item, account, refusal, item.credits_requested - hold.credits, hold.cycle_start, items);
      end if;
    end if;
    item.is_counted := true;
    item.held_change := - hold.credits;
    update public.credit_holds as holds set outcome = item.verdict, ended_at = item.moment
     where holds.user_id = item.user_id and holds.sequence = item.refers_to;
    account.open_holds := account.open_holds - 1;
    if hold.cycle_start = account.cycle_start then
      account.credits_used := account.credits_used + item.credits_charged;
      account.credits_held := account.credits_held + item.held_change;
    else
      -- If the closed cycle paid for this hold with top-ups, give the unused part of those top-ups back to the account. If the
      -- settle charges more than the hold and the closed cycle has no granted credits left, `freed` is negative: the excess is
      -- taken from the top-ups.
      update public.billing_cycles as closed
         set credits_used = closed.credits_used + item.credits_charged, credits_held = closed.credits_held + item.held_change
       where closed.user_id = item.user_id and closed.cycle_start = hold.cycle_start
      returning greatest(0, closed.credits_used - item.credits_charged + closed.credits_held - item.held_change - closed.credits_granted)
                - greatest(0, closed.credits_used + closed.credits_held - closed.credits_granted) into freed;
      account.top_up_balance := account.top_up_balance + coalesce(freed, 0);
    end if;
  end if;
  return keymeter.give_back(item, account, hold.cycle_start, hold.created_at);
end
$$;
