-- Returns true if the account can get `more` credits. The sum of its granted credits, its top-ups and the held credits of its
-- closed cycles must not exceed keymeter.max_credits(), because clients cannot read larger numbers exactly. `balance` is the sum of
-- its granted credits and its top-ups if the caller has not stored them yet.
create function keymeter.may_add_credits(account uuid, more bigint, balance bigint default null) returns boolean
  language sql stable set search_path = ''
  as $$
    select coalesce(balance, credits_per_cycle + top_up_balance)
           + (select coalesce(sum(closed.credits_held), 0) from public.billing_cycles as closed where closed.user_id = account)
           <= keymeter.max_credits() - more
      from public.billing_accounts where user_id = account
  $$;
