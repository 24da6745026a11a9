-- What is remembered of usage events that were dropped with their month: enough to tell that nothing else is missing.
create table public.usage_retention (
  user_id uuid primary key references public.billing_accounts (user_id) on delete cascade,
  -- Of the account's last event that was dropped.
  last_sequence bigint not null check (last_sequence > 0),
  last_event_at timestamptz(3) not null,
  -- Every event of the account since then is kept. Roll-ups and cycles that begin earlier cannot be computed anew.
  kept_from timestamptz(3) not null check (kept_from > last_event_at)
);
comment on table public.usage_retention is 'Accounts with usage events that were dropped. Their roll-ups, cycles and ledger stay.';

alter table public.usage_retention enable row level security;
revoke all on public.usage_retention from public, anon, authenticated, service_role;
grant select on public.usage_retention to keymeter_api;
create policy "Retention of the account of the call" on public.usage_retention for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
