-- Locks accounts of a batch in the order of their ids, and returns the locked accounts. `waits_for` is explained at
-- keymeter.meter_batch.
create function keymeter.lock_accounts(accounts uuid[], waits_for text) returns uuid[]
  language plpgsql volatile set search_path = ''
  as $$
declare
  edited uuid[];
begin
  if waits_for = 'nobody' then
    return array(select user_id from public.billing_accounts where user_id = any(accounts)
                  order by user_id for no key update skip locked);
  elsif waits_for = 'batches' then
    edited := keymeter.find_edited(accounts);
    if cardinality(edited) > 0 then
      accounts := array(select account from unnest(accounts) as account where account <> all(edited));
    end if;
    return keymeter.wait_for_batches(accounts);
  elsif waits_for = 'everybody' then
    return array(select user_id from public.billing_accounts where user_id = any(accounts) order by user_id for no key update);
  end if;
  raise exception 'meter_batch: waits_for must be nobody, batches or everybody' using errcode = '22023';
end
$$;
