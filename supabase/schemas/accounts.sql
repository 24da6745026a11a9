-- Billing accounts, their plans and their billing cycles.
--
-- `user_id` is the id of the account and the first column of every key of every table, so that accounts can be distributed over
-- several servers. Every change of an account, of its keys or of its credits locks the account's row first. That makes the charge
-- engine exact: nothing that it reads under the lock can change before its commit.

create domain keymeter.credits as bigint check (value between 0 and keymeter.max_credits());
comment on domain keymeter.credits is 'A number of credits that is not negative.';
create domain keymeter.credit_change as bigint check (value between - keymeter.max_credits() and keymeter.max_credits());
comment on domain keymeter.credit_change is 'A change of a number of credits: negative when it gives credits back.';

create table public.plans (
  plan text primary key check (plan ~ '^[a-z0-9._-]{1,32}$'),
  credits_per_cycle keymeter.credits not null,
  created_at timestamptz not null default now()
);
comment on table public.plans is
  'The plans that an operator offers. A new account is on the plan free. An account copies the credits of its plan when it changes to it, so a later change of the plan does not affect it.';

insert into public.plans (plan, credits_per_cycle) values ('free', 1000);

create table public.billing_accounts (
  user_id uuid primary key,
  plan text not null default 'free',
  credits_per_cycle keymeter.credits not null,
  billing_cycle_anchor timestamptz(3) not null default date_trunc('milliseconds', now()),
  billing_cycle_start timestamptz(3) not null default date_trunc('milliseconds', now()),
  -- Written with one function call: Postgres reads the stored expression for every row that is updated, and a long expression
  -- took a fifth of the time of a batch of many accounts.
  billing_cycle_end timestamptz(3) generated always as (keymeter.cycle_end(billing_cycle_anchor, billing_cycle_start)) stored,
  created_at timestamptz not null default now(),
  suspended_at timestamptz(3),

  credits_used bigint not null default 0 check (credits_used >= 0),
  credits_held bigint not null default 0 check (credits_held >= 0),
  top_up_balance keymeter.credits not null default 0,
  topped_up_this_cycle bigint not null default 0 check (topped_up_this_cycle >= 0),
  next_plan text,
  next_credits_per_cycle bigint,
  alert_thresholds smallint[] not null default '{50,80,100}',

  last_event_sequence bigint not null default 0 check (last_event_sequence >= 0),
  last_event_at timestamptz(3),
  last_ledger_sequence bigint not null default 0 check (last_ledger_sequence >= 0),
  holds_expire_at timestamptz(3),
  usage_by_day_until timestamptz(0) not null default '-infinity',
  usage_by_day_due_at timestamptz(0) not null default '-infinity',

  audit_length bigint not null default 0 check (audit_length between 0 and 9007199254740991),
  audit_head bytea check (octet_length(audit_head) = 32),

  check (billing_cycle_start >= billing_cycle_anchor),
  check ((audit_length = 0) = (audit_head is null))
-- Leaves room for the new version of a row beside the old one. No index contains a column that a charge changes, so a charge
-- writes no index entry here.
) with (fillfactor = 70);

comment on table public.billing_accounts is
  'One row per account: its plan, the balance of the current billing cycle, and what the charge engine has to know before it decides.';
comment on column public.billing_accounts.user_id is 'The id of the account. It equals the id of the user who opened it.';
comment on column public.billing_accounts.credits_per_cycle is 'The credits that the plan grants in each cycle. A change to a larger plan raises it immediately.';
comment on column public.billing_accounts.billing_cycle_anchor is
  'The start of the first billing cycle; every other boundary is computed from it. Do not move it: a cycle that starts at none of its boundaries is closed with nothing used.';
comment on column public.billing_accounts.billing_cycle_start is
  'The start of the cycle that credits_used, credits_held and topped_up_this_cycle belong to. It may be months old: the next charge moves it, and reads compute the current cycle.';
comment on column public.billing_accounts.suspended_at is 'While it is set, nothing is charged or held.';
comment on column public.billing_accounts.credits_held is 'Credits of open holds that were made in this cycle.';
comment on column public.billing_accounts.top_up_balance is
  'Credits that do not end with the cycle: what was left at the start of the cycle, and what was added since. A cycle spends them after its own credits.';
comment on column public.billing_accounts.topped_up_this_cycle is 'The part of top_up_balance that was added in this cycle.';
comment on column public.billing_accounts.next_plan is 'The plan from the next cycle on. Null: the same plan.';
comment on column public.billing_accounts.next_credits_per_cycle is 'The credits of next_plan when the change was requested. Null: next_plan is null.';
comment on column public.billing_accounts.alert_thresholds is 'Percent of credits_per_cycle, in ascending order.';
comment on column public.billing_accounts.last_event_sequence is 'The sequence of the last usage event.';
comment on column public.billing_accounts.last_event_at is 'The time of the last usage event.';
comment on column public.billing_accounts.holds_expire_at is 'When the first open hold expires. Null: no hold is open.';
comment on column public.billing_accounts.usage_by_day_until is 'usage_by_day contains the usage before this moment.';
comment on column public.billing_accounts.usage_by_day_due_at is 'From this moment on, the next charge checks whether usage_by_day needs new rows.';
comment on column public.billing_accounts.audit_length is 'The number of entries of the audit log.';
comment on column public.billing_accounts.audit_head is 'The hash of the last entry of the audit log. Null: there is no entry.';

create table public.billing_cycles (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null check (cycle_end > cycle_start),
  plan text not null,
  credits_granted bigint not null,
  credits_used bigint not null,
  credits_held bigint not null default 0 check (credits_held >= 0),
  credits_topped_up bigint not null default 0 check (credits_topped_up >= 0),
  primary key (user_id, cycle_start)
);
comment on table public.billing_cycles is
  'Closed cycles with their totals. A hold that outlives its cycle is settled into it, so credits_used can still grow by what was held.';
comment on column public.billing_cycles.credits_held is 'Credits of holds that were open when the cycle ended and still are.';

alter table public.plans enable row level security;
alter table public.billing_accounts enable row level security;
alter table public.billing_cycles enable row level security;
