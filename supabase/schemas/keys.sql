-- API keys and their secrets.
--
-- The checks of times and lengths exist because the server's role writes these columns. Without them, an attacker with the
-- login of this role could store a value that no page can show, e.g. the time `infinity`.

create table public.api_keys (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  id uuid not null default gen_random_uuid(),
  name text not null check (char_length(name) between 1 and 64),
  key_type text not null default 'dev' check (key_type in ('dev', 'prod')),
  credit_limit keymeter.credits,
  created_at timestamptz not null default now(),
  expires_at timestamptz(3),
  disabled_at timestamptz(3),
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_by uuid,
  is_service boolean not null default false,
  sort_name text collate "und-x-icu" not null generated always as (lower(name collate "und-x-icu")) stored,
  revoked_last_used_at timestamptz generated always as (case when revoked_at is not null then coalesce(last_used_at, timestamptz '1970-01-01Z') end) stored,
  primary key (user_id, id),
  check (created_at >= '2000-01-01 00:00:00Z' and created_at < '10000-01-01 00:00:00Z'),
  check (expires_at >= '2000-01-01 00:00:00Z' and expires_at < '10000-01-01 00:00:00Z'),
  check (disabled_at >= '2000-01-01 00:00:00Z' and disabled_at < '10000-01-01 00:00:00Z'),
  check (revoked_at >= '2000-01-01 00:00:00Z' and revoked_at < '10000-01-01 00:00:00Z')
);
comment on table public.api_keys is 'API keys. When a key gets a new secret, the key keeps its id, its limit and its usage. Rows of revoked keys are not deleted.';
comment on column public.api_keys.key_type is 'The label dev or prod. Keys of both types spend the same credits.';
comment on column public.api_keys.credit_limit is 'The largest number of credits that the key may use and hold in one billing cycle. Null means that the key has no limit of its own.';
comment on column public.api_keys.expires_at is 'The time from which the key is expired. Null means that the key does not expire.';
comment on column public.api_keys.created_by is
  'The member who created the key. The key stays when the member leaves. Null means that no member created it. A developer can change only the keys with their own id.';
comment on column public.api_keys.is_service is 'True if the key belongs to no person, e.g. because a server uses it. Only owners and admins can change such a key.';
comment on column public.api_keys.last_used_at is 'The last use of the key: the last charge, hold or verify with one of its secrets, also if it was refused. It is updated at most once a minute.';
comment on column public.api_keys.sort_name is 'The name in lower case, for lists by name. Its collation sorts the letters of all languages, independent of the database''s locale.';
comment on column public.api_keys.revoked_last_used_at is
  'The last use of a revoked key, for lists by last use: 1970 if the key was never used. Null means that the key is not revoked. So an update of last_used_at writes to its index only if the key is revoked.';

-- Serves the lists of live keys, newest first, and keys.usage.
create index api_keys_live_idx on public.api_keys (user_id, created_at desc, id desc) where revoked_at is null;
-- Serves the list of the live keys of a member.
create index api_keys_creator_idx on public.api_keys (user_id, created_by) where revoked_at is null;
-- Serves the lists that also contain revoked keys, newest or oldest first.
create index api_keys_created_idx on public.api_keys (user_id, created_at desc, id desc);
-- The next two indexes serve the lists of revoked keys by name and by last use. An account can have any number of revoked keys,
-- so Postgres must not sort them. Live keys are few, so Postgres sorts them.
create index api_keys_revoked_name_idx on public.api_keys (user_id, sort_name, id) where revoked_at is not null;
create index api_keys_revoked_last_used_idx on public.api_keys (user_id, revoked_last_used_at, id) where revoked_at is not null;

create table public.api_key_secrets (
  user_id uuid not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  api_key_id uuid not null,
  key_prefix text not null check (char_length(key_prefix) between 1 and 32),
  idempotency_key text check (char_length(idempotency_key) between 1 and 255),
  request_hash bytea check (octet_length(request_hash) = 32),
  valid_until timestamptz(3),
  created_at timestamptz(3) not null default date_trunc('milliseconds', now()),
  saved_at timestamptz(3),
  last_used_at timestamptz(3),
  -- A token contains the id of its account. So a secret is found by the account and the hash.
  primary key (user_id, key_hash),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade,
  check (created_at >= '2000-01-01 00:00:00Z' and created_at < '10000-01-01 00:00:00Z'),
  check (valid_until >= '2000-01-01 00:00:00Z' and valid_until < '10000-01-01 00:00:00Z'),
  check (saved_at >= '2000-01-01 00:00:00Z' and saved_at < '10000-01-01 00:00:00Z'),
  check ((idempotency_key is null) = (request_hash is null))
);
comment on table public.api_key_secrets is
  'The hashes of all secrets of all keys. The row of an expired secret is not deleted, so a charge with this secret still gets the verdict expired.';
comment on column public.api_key_secrets.key_hash is 'The SHA-256 hash of the whole secret.';
comment on column public.api_key_secrets.key_prefix is
  'The brand, the type and the first 8 random characters of the secret. A person can recognise the secret by this prefix, but nobody can use the prefix to call the API. The key prefix of a key is that of its current secret.';
comment on column public.api_key_secrets.idempotency_key is
  'The idempotency key of the call that created the secret. A repeat of the call creates another secret, so several secrets can have the same idempotency key. Null means that the call had none.';
comment on column public.api_key_secrets.request_hash is
  'The SHA-256 hash of the call and its input. A call with the same idempotency key is a repeat only if its hash is equal.';
comment on column public.api_key_secrets.valid_until is
  'The time from which the secret is expired. Null means that this is the current secret of its key. If the key is revoked, its current secret does not work either.';
comment on column public.api_key_secrets.saved_at is
  'The time when the user confirmed that the secret is saved. If saved_at and last_used_at are both null, the secret is perhaps lost, because the user perhaps never received it.';
comment on column public.api_key_secrets.last_used_at is 'The last charge, hold or verify with the secret, also if it was refused. It is updated at most once a minute. Null means that the secret was never used.';

-- A key has at most one current secret.
create unique index api_key_secrets_current_idx on public.api_key_secrets (user_id, api_key_id) where valid_until is null;
-- Serves the reads of all secrets of a key, and the cascade from its key.
create index api_key_secrets_key_idx on public.api_key_secrets (user_id, api_key_id, valid_until);
-- Finds the first attempt of a call that is repeated.
create index api_key_secrets_idempotency_idx on public.api_key_secrets (user_id, idempotency_key) where idempotency_key is not null;
-- Finds the secrets with a key prefix in all accounts: the operator searches for a secret that was found somewhere.
create index api_key_secrets_prefix_idx on public.api_key_secrets (key_prefix);

-- Most accounts have few rows and some accounts have very many, so the average number of rows misleads the planner. We set
-- `n_distinct` low, so the planner expects many rows for each account and chooses the index on the full key. Other tables set
-- `n_distinct` for the same reason.
alter table public.api_keys alter column user_id set (n_distinct = 20);
alter table public.api_key_secrets alter column user_id set (n_distinct = 20);

alter table public.api_keys enable row level security;
alter table public.api_key_secrets enable row level security;
