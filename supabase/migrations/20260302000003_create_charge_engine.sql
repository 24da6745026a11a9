-- What the charge engine keeps: the balance on the account, exact roll-ups, closed cycles, and the one function that
-- decides.
alter table public.billing_accounts
  -- Of the cycle that began at billing_cycle_start, which may have ended: see cycle_index.
  add column credits_used bigint not null default 0 check (credits_used >= 0),
  add column last_sequence bigint not null default 0 check (last_sequence >= 0),
  add column last_event_at timestamptz(3),
  add column suspended_at timestamptz(3),
  -- A start that is no boundary of the anchor, after someone moved it, has ended: the next charge finds the right one.
  add column billing_cycle_end timestamptz(3) generated always as (
    case when public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, billing_cycle_start)) = billing_cycle_start
         then public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, billing_cycle_start) + 1)
         else billing_cycle_start end) stored;
-- Room for a new version of the row beside the old one; no index holds a column that a charge changes.
alter table public.billing_accounts set (fillfactor = 70);

comment on column public.billing_accounts.billing_cycle_start is 'Start of the cycle that credits_used is of. May be months old: reads compute the current cycle from the anchor.';
comment on column public.billing_accounts.last_sequence is 'Of the account’s last usage event.';
comment on column public.billing_accounts.suspended_at is 'While set, nothing is charged.';

-- Exact sums, kept in the charge's own transaction. Credits of charges alone; a refusal costs nothing.
create table public.api_key_cycle_usage (
  user_id uuid not null,
  cycle_start timestamptz(3) not null,
  api_key_id uuid not null,
  credits_charged bigint not null,
  charges bigint not null,
  primary key (user_id, api_key_id, cycle_start),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
) with (fillfactor = 80);
-- By quarter of an hour, so that any time zone's days add up; the cycle is part of the key, so that its boundary does too.
create table public.api_key_quarter_hour_usage (
  user_id uuid not null,
  cycle_start timestamptz(3) not null,
  api_key_id uuid not null,
  operation text not null,
  quarter_hour timestamptz(0) not null,
  credits_charged bigint not null,
  charges bigint not null,
  primary key (user_id, api_key_id, cycle_start, operation, quarter_hour),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
) with (fillfactor = 80);
create table public.billing_cycles (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null check (cycle_end > cycle_start),
  credits_granted bigint not null,
  credits_used bigint not null,
  primary key (user_id, cycle_start)
);
comment on table public.billing_cycles is 'Closed cycles with their totals.';

create table public.usage_operations (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  operation text not null check (operation ~ '^[a-z0-9._:-]{1,64}$'),
  primary key (user_id, operation)
);
comment on table public.usage_operations is 'The labels that an account has charged under: at most 100.';

alter table public.api_key_cycle_usage enable row level security;
alter table public.api_key_quarter_hour_usage enable row level security;
alter table public.billing_cycles enable row level security;
alter table public.usage_operations enable row level security;
revoke all on public.api_key_cycle_usage, public.api_key_quarter_hour_usage, public.billing_cycles, public.usage_operations
  from public, anon, authenticated, service_role;
grant select on public.api_key_cycle_usage, public.api_key_quarter_hour_usage, public.billing_cycles, public.usage_operations
  to keymeter_api;
create policy "Usage of the account of the call" on public.api_key_cycle_usage for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Usage of the account of the call" on public.api_key_quarter_hour_usage for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Cycles of the account of the call" on public.billing_cycles for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Operations of the account of the call" on public.usage_operations for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));

-- What other tools wrote before the engine is rolled up once. From here on the engine alone writes.
insert into public.api_key_cycle_usage (user_id, cycle_start, api_key_id, credits_charged, charges)
  select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) from public.api_key_usage group by 1, 2, 3;
insert into public.api_key_quarter_hour_usage (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges)
  select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', created_at, 'epoch'), sum(credits_charged), count(*)
    from public.api_key_usage group by 1, 2, 3, 4, 5;
insert into public.usage_operations select distinct user_id, operation from public.api_key_usage;
-- Every cycle that has ended, idle ones too.
insert into public.billing_cycles (user_id, cycle_start, cycle_end, credits_granted, credits_used)
  select accounts.user_id, ended.cycle_start, public.cycle_boundary(billing_cycle_anchor, k + 1), credits_per_cycle,
         coalesce((select sum(credits_charged) from public.api_key_cycle_usage as used
                    where used.user_id = accounts.user_id and used.cycle_start = ended.cycle_start), 0)
    from public.billing_accounts as accounts
   cross join lateral generate_series(0, public.cycle_index(billing_cycle_anchor, now()) - 1) as k
   cross join lateral (select public.cycle_boundary(billing_cycle_anchor, k) as cycle_start) as ended;
update public.billing_accounts as accounts
   set billing_cycle_start = current.cycle_start,
       credits_used = coalesce((select sum(credits_charged) from public.api_key_cycle_usage as used
                                 where used.user_id = accounts.user_id and used.cycle_start = current.cycle_start), 0),
       last_sequence = coalesce((select max(sequence) from public.api_key_usage as events where events.user_id = accounts.user_id), 0),
       last_event_at = (select max(created_at) from public.api_key_usage as events
                         where events.user_id = accounts.user_id and created_at <= now())
  from (select user_id, public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, now())) as cycle_start
          from public.billing_accounts) as current
 where current.user_id = accounts.user_id;

-- Secrets of keys that were made while the release before api_key_secrets was still running.
insert into public.api_key_secrets (user_id, key_hash, api_key_id, created_at)
  select user_id, key_hash, id, created_at from public.api_keys where key_hash is not null
  on conflict do nothing;

-- As for api_key_usage: an account may have thousands of revoked keys.
alter table public.api_keys alter column user_id set (n_distinct = 20);
alter table public.api_key_secrets alter column user_id set (n_distinct = 20);
alter table public.api_key_cycle_usage alter column user_id set (n_distinct = 20);
alter table public.api_key_quarter_hour_usage alter column user_id set (n_distinct = 20);
alter table public.usage_operations alter column user_id set (n_distinct = 20);
analyze public.api_keys, public.api_key_secrets, public.api_key_cycle_usage, public.api_key_quarter_hour_usage, public.usage_operations;
