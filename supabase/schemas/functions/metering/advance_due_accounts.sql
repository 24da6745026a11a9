-- Brings the accounts of a batch up to date, if a cycle has ended, a hold has expired or a daily roll-up is due. Returns the
-- latest account time (keymeter.account_time) of these accounts, or null if none of them exists.
create function keymeter.advance_due_accounts(user_ids uuid[], v_now timestamptz) returns timestamptz
  language plpgsql volatile set search_path = ''
  as $$
declare
  is_due boolean;
  latest timestamptz;
begin
  -- The account time is written out (keymeter.account_time), for the reason that look_up_items names.
  select bool_or(least(billing_cycle_end, holds_expire_at, usage_by_day_due_at) <= greatest(v_now, last_event_at, billing_cycle_start)),
         max(greatest(v_now, last_event_at, billing_cycle_start))
    into is_due, latest
    from public.billing_accounts where user_id = any(user_ids);
  if is_due then
    perform keymeter.advance_accounts(user_ids, v_now);
  end if;
  return latest;
end
$$;
