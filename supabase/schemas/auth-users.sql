-- The references to the users of Supabase Auth: deleting a user deletes the account, its keys and all their data
-- (docs/decisions/0004-deleting-a-user.md). They are a migration of their own, because a database that holds only a part of the
-- accounts may have no schema auth.
alter table public.billing_accounts
  add constraint billing_accounts_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
alter table public.api_keys
  add constraint api_keys_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
