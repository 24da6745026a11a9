-- The foreign keys to the users of Supabase Auth. When a user is deleted, the account, its keys and all its other data are
-- deleted too (docs/decisions/0004-deleting-a-user.md). These foreign keys are a separate migration, because they need the
-- schema `auth`.
alter table public.billing_accounts
  add constraint billing_accounts_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
alter table public.api_keys
  add constraint api_keys_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade;
