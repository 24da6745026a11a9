-- What holds, refunds, top-ups, plans and alerts keep. The release before runs on unchanged: everything new has a default.

create table public.plans (
  plan text primary key check (plan ~ '^[a-z0-9._-]{1,32}$'),
  credits_per_cycle bigint not null check (credits_per_cycle between 0 and 9007199254740991),
  created_at timestamptz not null default now()
);
comment on table public.plans is 'What an account can be on; a new one is on free. An account takes a plan’s credits when it changes to it, and keeps them.';
insert into public.plans (plan, credits_per_cycle) values ('free', 1000);

-- Which plans there are is told by the table now.
alter table public.billing_accounts drop constraint billing_accounts_plan_check;
alter table public.billing_accounts
  -- Of open holds that were made in the cycle of billing_cycle_start.
  add column credits_held bigint not null default 0 check (credits_held >= 0),
  -- Beside the cycle's own credits, and spent after them: what was left when the cycle began, and what came in since.
  add column top_up_credits bigint not null default 0 check (top_up_credits between 0 and 9007199254740991),
  -- The part of them that came in since the cycle began.
  add column credits_topped_up bigint not null default 0 check (credits_topped_up >= 0),
  -- When the first open hold ends by itself. Null: there is none.
  add column holds_expire_at timestamptz(3),
  -- The plan from the next cycle on. Null: the same.
  add column next_plan text,
  -- Percent of the cycle's credits.
  add column alert_thresholds smallint[] not null default '{50,80,100}',
  add column last_ledger_sequence bigint not null default 0 check (last_ledger_sequence >= 0);

alter table public.billing_cycles
  add column plan text not null default 'free',
  -- Of holds that were open when the cycle ended and still are.
  add column credits_held bigint not null default 0 check (credits_held >= 0),
  add column credits_topped_up bigint not null default 0 check (credits_topped_up >= 0);
comment on table public.billing_cycles is
  'Closed cycles with their totals. Holds that outlive their cycle are settled into it, so credits_used may still grow by what was held.';

-- Events of more kinds than charges.
alter table public.api_key_usage
  add column action text not null default 'charge' check (action in ('charge', 'hold', 'settle', 'release', 'refund')),
  -- The hold that is settled or released, the charge that is refunded: its sequence.
  add column refers_to bigint,
  -- When the work was asked for, where that is not created_at: of a settle its hold's moment, of a refund its charge's.
  -- Usage counts in the cycle and the quarter of an hour of this moment.
  add column used_at timestamptz(3),
  -- When a hold ends by itself, or would have.
  add column expires_at timestamptz(3);
comment on column public.api_key_usage.cycle_start is 'Of the cycle that the credits count in.';
comment on column public.api_key_usage.cycle_end is 'As the caller was told: of the cycle of created_at.';
comment on column public.api_key_usage.credits_charged is 'What it added to the usage of its cycle: less than nothing for a refund.';
-- A refund takes usage back. Checked in a step of its own, which does not keep charges waiting.
alter table public.api_key_usage drop constraint api_key_usage_credits_charged_check1;
alter table public.api_key_usage
  add constraint api_key_usage_credits_charged_is_safe check (credits_charged between -9007199254740991 and 9007199254740991) not valid;
-- Serves the refunds of a charge. Charges are not in it and cost nothing.
create index api_key_usage_refers_to_idx on public.api_key_usage (user_id, refers_to) where refers_to is not null;

-- Not checked: what a settle adds to it is less than nothing, and a check would see that before the sum.
alter table public.api_key_cycle_usage add column credits_held bigint not null default 0;
comment on column public.api_key_cycle_usage.credits_held is 'Of the key’s open holds that were made in the cycle.';
alter table public.api_key_quarter_hour_usage add column credits_refunded bigint not null default 0 check (credits_refunded >= 0);
comment on column public.api_key_quarter_hour_usage.credits_charged is 'What was charged less what was refunded of it in the same cycle.';

create table public.credit_holds (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  -- Of the usage event that made it.
  sequence bigint not null,
  api_key_id uuid not null,
  operation text not null,
  credits bigint not null check (credits > 0),
  cycle_start timestamptz(3) not null,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null check (expires_at > created_at),
  ended_at timestamptz(3),
  outcome text check (outcome in ('settled', 'released', 'expired')),
  primary key (user_id, sequence),
  check ((outcome is null) = (ended_at is null))
);
-- Serves the holds that have ended by themselves, and the next that will.
create index credit_holds_open_idx on public.credit_holds (user_id, expires_at) where outcome is null;
comment on table public.credit_holds is 'Credits taken ahead of work whose cost is known only afterwards. Open while outcome is null and expires_at is to come.';

-- What moved the balance and is no usage. Charges by day come from the roll-ups.
create table public.ledger_entries (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  -- Of the account, from 1, without a gap.
  sequence bigint not null,
  created_at timestamptz(3) not null,
  cycle_start timestamptz(3) not null,
  -- refund: back into the cycle that it was charged in. refund_top_up: of a charge whose cycle has ended.
  kind text not null check (kind in ('top_up', 'plan_change', 'refund', 'refund_top_up')),
  -- What it added to the balance.
  credits bigint not null check (credits >= 0),
  -- Of a refund: its usage event.
  event_sequence bigint,
  plan text,
  idempotency_key text,
  note text,
  primary key (user_id, sequence)
);
create index ledger_entries_cycle_idx on public.ledger_entries (user_id, cycle_start, kind);
create unique index ledger_entries_idempotency_idx on public.ledger_entries (user_id, idempotency_key) where idempotency_key is not null;

create table public.alert_firings (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  -- Percent of the cycle's credits.
  threshold smallint not null,
  created_at timestamptz(3) not null,
  credits_used bigint not null,
  credits_granted bigint not null,
  primary key (user_id, cycle_start, threshold)
);
comment on table public.alert_firings is 'Thresholds that an account’s usage reached, once a cycle.';

alter table public.plans enable row level security;
alter table public.credit_holds enable row level security;
alter table public.ledger_entries enable row level security;
alter table public.alert_firings enable row level security;
revoke all on public.plans, public.credit_holds, public.ledger_entries, public.alert_firings
  from public, anon, authenticated, service_role;
grant select on public.plans, public.credit_holds, public.ledger_entries, public.alert_firings to keymeter_api;
grant update (alert_thresholds) on public.billing_accounts to keymeter_api;
create policy "Plans are nobody’s own" on public.plans for select to keymeter_api using (true);
create policy "Holds of the account of the call" on public.credit_holds for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Entries of the account of the call" on public.ledger_entries for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Alerts of the account of the call" on public.alert_firings for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));

-- As for api_key_usage: told that there are few accounts, the planner goes by the index that names the row.
alter table public.credit_holds alter column user_id set (n_distinct = 20);
alter table public.ledger_entries alter column user_id set (n_distinct = 20);
analyze public.credit_holds, public.ledger_entries;
