-- The whole life of a key: it may expire by itself, be switched off and on again, and have a limit of its own.
alter table public.api_keys
  add column expires_at timestamptz(3),
  add column disabled_at timestamptz(3),
  add column credit_limit bigint check (credit_limit between 0 and 9007199254740991);

comment on column public.api_keys.expires_at is 'The key ends here, exclusive.';
comment on column public.api_keys.credit_limit is 'The most that the key may spend in one billing cycle. Null: as much as the account has.';

-- Serves the lists that show revoked keys too, newest first.
create index api_keys_created_idx on public.api_keys (user_id, created_at desc, id desc);

grant insert (created_at, expires_at, credit_limit), update (name, key_prefix, expires_at, disabled_at, credit_limit)
  on public.api_keys to keymeter_api;

-- The one clock of everything that is decided about accounts and keys: the database's, to the millisecond that SQL and
-- JavaScript share. Read after the account is locked, it never runs backwards within an account.
create function public.keymeter_now() returns timestamptz
  language sql volatile parallel safe set search_path = ''
  as $$ select date_trunc('milliseconds', clock_timestamp()) $$;
revoke all on function public.keymeter_now() from public, anon, authenticated, service_role;
grant execute on function public.keymeter_now() to keymeter_api;
