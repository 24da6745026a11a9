-- API keys and their secrets.

create table public.api_keys (
  user_id uuid not null,
  id uuid not null default gen_random_uuid(),
  name text not null check (char_length(name) between 1 and 64),
  key_prefix text not null,
  key_type text not null default 'dev' check (key_type in ('dev', 'prod')),
  credit_limit keymeter.credits,
  created_at timestamptz not null default now(),
  expires_at timestamptz(3),
  disabled_at timestamptz(3),
  revoked_at timestamptz,
  last_used_at timestamptz,
  primary key (user_id, id)
);
comment on table public.api_keys is 'API keys. A key keeps its id, its limits and its history when its secret is rotated. Revoked keys stay as rows.';
comment on column public.api_keys.key_prefix is 'Brand, type and the first 8 random characters of the current secret: enough to recognise it, useless for calls.';
comment on column public.api_keys.key_type is 'A label: dev and prod keys spend the same credits.';
comment on column public.api_keys.credit_limit is 'The most that the key may use and hold in one billing cycle. Null: only the account limits it.';
comment on column public.api_keys.expires_at is 'From this moment on, the key is expired.';
comment on column public.api_keys.last_used_at is 'To the minute.';

-- Serves the lists of live keys, newest first, and keys.usage.
create index api_keys_live_idx on public.api_keys (user_id, created_at desc, id desc) where revoked_at is null;
-- Serves the lists that contain revoked keys too, newest first.
create index api_keys_created_idx on public.api_keys (user_id, created_at desc, id desc);

create table public.api_key_secrets (
  user_id uuid not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  api_key_id uuid not null,
  valid_until timestamptz(3),
  created_at timestamptz(3) not null default date_trunc('milliseconds', now()),
  saved_at timestamptz(3),
  last_used_at timestamptz(3),
  -- The token of a key contains the account, so a secret is found by the account and the hash.
  primary key (user_id, key_hash),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
);
comment on table public.api_key_secrets is
  'The secrets of keys, as hashes. A secret that has ended stays as a row, so that it can never be mistaken for the secret of another key.';
comment on column public.api_key_secrets.key_hash is 'SHA-256 of the whole secret.';
comment on column public.api_key_secrets.valid_until is
  'From this moment on, the secret is expired. Null: the current secret. A revoked key has no valid secret, even if this column is null.';
comment on column public.api_key_secrets.saved_at is
  'When the owner confirmed that the secret is saved. Null and never used: the answer that contained it may be lost.';
comment on column public.api_key_secrets.last_used_at is 'To the minute.';

-- A key has one current secret.
create unique index api_key_secrets_current_idx on public.api_key_secrets (user_id, api_key_id) where valid_until is null;
-- Serves the reads of all secrets of a key, and the cascade from its key.
create index api_key_secrets_key_idx on public.api_key_secrets (user_id, api_key_id, valid_until);

-- An average misleads the planner about accounts: most have few rows and some have very many. With a small number of distinct
-- accounts the planner expects many rows per account, and uses the index that names the row. Other tables set it for the same
-- reason.
alter table public.api_keys alter column user_id set (n_distinct = 20);
alter table public.api_key_secrets alter column user_id set (n_distinct = 20);

alter table public.api_keys enable row level security;
alter table public.api_key_secrets enable row level security;
