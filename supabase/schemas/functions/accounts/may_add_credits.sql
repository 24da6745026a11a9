-- Whether the account can get more credits: its plan, its top-ups, and what may come back from holds of ended cycles must stay
-- together within the largest number of credits. Then every sum of them can be shown.
create function keymeter.may_add_credits(account uuid, more bigint) returns boolean
  language sql stable
  as $$
    select credits_per_cycle + top_up_balance
           + (select coalesce(sum(closed.credits_held), 0) from public.billing_cycles as closed where closed.user_id = account)
           <= keymeter.max_credits() - more
      from public.billing_accounts where user_id = account
  $$;
