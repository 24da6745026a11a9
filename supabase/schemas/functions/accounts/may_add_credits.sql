-- Returns true if the account can get `more` credits. The sum of its granted credits, its top-ups and the held credits of its
-- closed cycles must not exceed keymeter.max_credits(), because clients cannot read larger numbers exactly.
create function keymeter.may_add_credits(account uuid, more bigint) returns boolean
  language sql stable set search_path = ''
  as $$
    select credits_per_cycle + top_up_balance
           + (select coalesce(sum(closed.credits_held), 0) from public.billing_cycles as closed where closed.user_id = account)
           <= keymeter.max_credits() - more
      from public.billing_accounts where user_id = account
  $$;
