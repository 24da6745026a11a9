-- Deleting a user deletes the account, its keys and, through the keys, their usage (docs/decisions/0004).
-- In a migration of its own: these are the only constraints that tables distributed by account could not have.
alter table public.billing_accounts
  add constraint billing_accounts_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
alter table public.api_keys
  add constraint api_keys_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
