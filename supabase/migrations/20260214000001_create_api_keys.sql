-- API keys. `user_id` is the account a key belongs to and leads every key of every table, so that the schema can be
-- distributed by account. The secret itself is never stored: only its SHA-256.
create table public.api_keys (
  user_id uuid not null,
  id uuid not null default gen_random_uuid(),
  name text not null check (char_length(name) between 1 and 64),
  key_prefix text not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz,
  primary key (user_id, id),
  -- A key is found by the account and the hash: its token carries the account.
  unique (user_id, key_hash)
);

-- Serves the lists, which show live keys only, newest first.
create index api_keys_live_idx on public.api_keys (user_id, created_at desc, id desc) where revoked_at is null;

comment on column public.api_keys.key_prefix is 'Brand, type and the first 8 random characters: enough to recognise a key, useless to call with.';
comment on column public.api_keys.key_hash is 'SHA-256 of the whole secret.';

alter table public.api_keys enable row level security;
-- Supabase grants new tables to these roles by default. Keymeter's server is the only door.
revoke all on public.api_keys from public, anon, authenticated, service_role;
