-- The audit log: who did what to which key or account, and when.

create table public.audit_log (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  sequence bigint not null check (sequence between 1 and 9007199254740991),
  actor text not null check (actor in ('customer', 'operator')),
  action text not null check (action ~ '^[a-z]+(\.[a-z_]+)+$'),
  api_key_id uuid,
  -- json and not jsonb: the hash covers the text as it was written.
  detail json not null,
  request_id text not null,
  client_address text,
  user_agent text,
  created_at timestamptz(3) not null check (created_at >= '2000-01-01 00:00:00Z' and created_at < '10000-01-01 00:00:00Z'),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (user_id, sequence)
);
comment on table public.audit_log is
  'One entry per change, written in the transaction of the change. Entries form a hash chain: an altered, removed or cut-off entry is detected.';
comment on column public.audit_log.sequence is 'Per account, from 1, without gaps.';
comment on column public.audit_log.hash is
  'SHA-256 over the entry and the previous hash; packages/api/src/audit/chain.ts defines it. billing_accounts stores the last hash and the number of entries.';

-- Serves the log of one key, newest first.
create index audit_log_key_idx on public.audit_log (user_id, api_key_id, sequence desc);

alter table public.audit_log enable row level security;
