-- Returns the accounts that another session has locked now, without waiting for these locks. The function locks all other
-- accounts of `user_ids` until its transaction ends.
create function keymeter.find_locked_accounts(user_ids uuid[]) returns setof uuid
  language sql volatile security definer set search_path = ''
  as $$
    with lockable as (
      select user_id from public.billing_accounts where user_id = any(user_ids) order by user_id for no key update skip locked
    )
    select user_id from public.billing_accounts where user_id = any(user_ids) and user_id not in (select user_id from lockable)
  $$;
