-- Written by the release before this one alone, and taken over into api_key_secrets when the key is next rotated.
-- First, because it takes the strongest lock: a lock that is raised later meets those who wait to raise theirs.
alter table public.api_keys alter column key_hash drop not null;
comment on column public.api_keys.key_hash is 'Superseded by api_key_secrets.';

-- A key's secrets as rows of their own, so that a key can be rotated: it keeps its id, name, limits and history while its
-- secret changes. The current secret has no end; rotating gives it one. A secret that has ended stays as a row, so that
-- it can never be taken for another's.
create table public.api_key_secrets (
  user_id uuid not null,
  key_hash bytea not null check (octet_length(key_hash) = 32),
  api_key_id uuid not null,
  valid_until timestamptz(3),
  created_at timestamptz(3) not null default date_trunc('milliseconds', now()),
  saved_at timestamptz(3),
  last_used_at timestamptz(3),
  primary key (user_id, key_hash),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
);

-- One current secret a key.
create unique index api_key_secrets_current_idx on public.api_key_secrets (user_id, api_key_id) where valid_until is null;
-- Serves the look at all of a key's secrets, and the cascade from its key.
create index api_key_secrets_key_idx on public.api_key_secrets (user_id, api_key_id, valid_until);

comment on column public.api_key_secrets.key_hash is 'SHA-256 of the whole secret.';
comment on column public.api_key_secrets.valid_until is 'The secret ends here, exclusive. Null: the current one. A revoked key has no valid secret, whatever stands here.';
comment on column public.api_key_secrets.saved_at is 'When its owner said that they have it. Null and never used: it may never have arrived.';

alter table public.api_key_secrets enable row level security;
revoke all on public.api_key_secrets from public, anon, authenticated, service_role;
grant select, insert (user_id, key_hash, api_key_id, created_at), update (valid_until, saved_at)
  on public.api_key_secrets to keymeter_api;
create policy "Secrets of the account of the call" on public.api_key_secrets for all to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid))
  with check (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
