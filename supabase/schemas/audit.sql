-- The audit log records who changed which key or account, and when. Only functions write it (functions/audit, functions/operator),
-- and the server's role can execute only those that fix the actor. The checks keep every entry readable for the page that lists
-- the entries.

create type keymeter.call_origin as (request_id text, client_address text, user_agent text);
comment on type keymeter.call_origin is
  'Where a call came from. client_address and user_agent are null if the network or the client did not provide them.';

create table public.audit_log (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  sequence bigint not null check (sequence between 1 and 9007199254740991),
  actor text not null check (actor in ('member', 'operator', 'system')),
  actor_id uuid,
  action text not null check (action in (
    'key.created', 'key.updated', 'key.disabled', 'key.enabled', 'key.rotated', 'key.grace_ended', 'key.secret_saved',
    'key.secret_replaced', 'key.secret_repeated', 'key.revoked', 'account.topped_up', 'account.top_up_taken_back', 'account.plan_changed',
    'account.suspended', 'account.resumed',
    'account.free_credits_granted', 'account.renamed', 'account.second_factor_changed', 'account.closed', 'account.erased', 'member.invited',
    'member.invitation_revoked', 'member.joined', 'member.role_changed', 'member.removed', 'member.left')),
  api_key_id uuid,
  -- The type is json, because the hash covers the text exactly as it was written. jsonb would store a different text.
  detail json not null,
  request_id text not null check (char_length(request_id) between 1 and 64),
  client_address text check (char_length(client_address) <= 64),
  user_agent text check (char_length(user_agent) <= 256),
  created_at timestamptz(3) not null check (created_at >= '2000-01-01 00:00:00Z' and created_at < '10000-01-01 00:00:00Z'),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (user_id, sequence),
  check ((actor = 'member') = (actor_id is not null)),
  -- `detail` is a small and flat object, and JavaScript can represent its numbers exactly.
  check (
    json_typeof(detail) = 'object' and char_length(detail::text) <= 4000
    and not jsonb_path_exists(detail::jsonb, 'strict $.**{4 to last}')
    and not jsonb_path_exists(detail::jsonb, 'strict $.** ? (@.type() == "number" && (@ > 9007199254740991 || @ < -9007199254740991))')
  )
);
comment on table public.audit_log is
  'One entry for each change. The entry is written in the transaction of the change. The entries of an account form a hash chain, so a changed or removed entry is detected.';
comment on column public.audit_log.sequence is 'The number of the entry in the account''s audit log. The first entry is 1, and there are no gaps.';
comment on column public.audit_log.actor_id is 'The id of the member who made the change. Null means that no member made it.';
comment on column public.audit_log.hash is
  'SHA-256 over the hash of the previous entry and the fields of this entry (keymeter.audit_hash). billing_accounts contains the last hash and the number of entries.';

-- The list of entries can be filtered by action, by key, by both, or by none of them, and by time. There is one index for each of
-- these four filters, in the order of the list. So a page reads only the entries that it returns, even if few of the account's
-- entries match (docs/decisions/0021-bounded-reads.md). Entries are written only rarely, so the indexes cost little.
create index audit_log_time_idx on public.audit_log (user_id, created_at, sequence);
create index audit_log_action_idx on public.audit_log (user_id, action, created_at, sequence);
create index audit_log_key_idx on public.audit_log (user_id, api_key_id, created_at, sequence);
create index audit_log_key_action_idx on public.audit_log (user_id, api_key_id, action, created_at, sequence);

-- keys.sql explains why n_distinct is set.
alter table public.audit_log alter column user_id set (n_distinct = 20);

alter table public.audit_log enable row level security;
