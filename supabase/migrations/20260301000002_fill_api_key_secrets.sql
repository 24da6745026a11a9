-- In a migration of its own, which blocks nobody while it copies.
-- Nobody was asked whether they saved the secrets that there are, so these are not offered anew.
insert into public.api_key_secrets (user_id, key_hash, api_key_id, created_at, saved_at)
  select user_id, key_hash, id, created_at, created_at from public.api_keys
   where key_hash is not null
  on conflict do nothing;
