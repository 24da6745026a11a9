-- Who did what to which key, when and from where: one entry for each change, written in the change's own transaction.
-- Each entry's hash covers the entry and the hash before it; the head of the chain and its length stand on the account, so
-- that an entry that was altered, removed or cut off the end shows (packages/api/src/audit/chain.ts has the definition).
alter table public.billing_accounts
  add column audit_length bigint not null default 0 check (audit_length between 0 and 9007199254740991),
  add column audit_head bytea check (octet_length(audit_head) = 32),
  add check ((audit_length = 0) = (audit_head is null));

create table public.audit_log (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  sequence bigint not null check (sequence between 1 and 9007199254740991),
  actor text not null check (actor in ('customer', 'operator')),
  action text not null check (action ~ '^[a-z]+(\.[a-z_]+)+$'),
  api_key_id uuid,
  -- json, not jsonb: the hash covers its text.
  detail json not null,
  request_id text not null,
  client_address text,
  user_agent text,
  created_at timestamptz(3) not null check (created_at >= '2000-01-01 00:00:00Z' and created_at < '10000-01-01 00:00:00Z'),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (user_id, sequence)
);

-- Serves the log of one key, newest first.
create index audit_log_key_idx on public.audit_log (user_id, api_key_id, sequence desc);

alter table public.audit_log enable row level security;
revoke all on public.audit_log from public, anon, authenticated, service_role;
-- Append-only for the server.
grant select, insert on public.audit_log to keymeter_api;
grant update (audit_length, audit_head) on public.billing_accounts to keymeter_api;
create policy "The log of the account of the call" on public.audit_log for all to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid))
  with check (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
