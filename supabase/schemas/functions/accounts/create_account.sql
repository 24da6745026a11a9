-- Creates the account of a new user, with the plan `free` and the credits that this plan has now. Does nothing if the account
-- exists.
create function keymeter.create_account(account uuid) returns void
  language sql volatile security definer set search_path = ''
  as $$
    insert into public.billing_accounts (user_id, credits_per_cycle)
      values (account, (select credits_per_cycle from public.plans where plan = 'free'))
    on conflict do nothing
  $$;
