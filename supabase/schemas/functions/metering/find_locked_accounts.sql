-- Which of the accounts another session holds locked at this moment. Does not wait. Its own locks end with the call.
create function keymeter.find_locked_accounts(user_ids uuid[]) returns setof uuid
  language sql volatile security definer set search_path = ''
  as $$
    with lockable as (
      select user_id from public.billing_accounts where user_id = any(user_ids) order by user_id for no key update skip locked
    )
    select user_id from public.billing_accounts where user_id = any(user_ids) and user_id not in (select user_id from lockable)
  $$;
