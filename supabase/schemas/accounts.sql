-- Billing accounts, their plans and their billing cycles.
--
-- `user_id` is the id of an account. It is the first column of every key of every table that contains accounts' data.
--
-- Every transaction that changes an account, its keys or its credits locks the account first, with keymeter.lock_account. Only
-- the charge engine locks accounts in another way (keymeter.lock_accounts). So nothing that the engine reads after it has locked
-- an account can change before the engine commits.

create domain keymeter.credits as bigint check (value between 0 and keymeter.max_credits());
comment on domain keymeter.credits is 'A number of credits, from 0 to 2^53 - 1.';
create domain keymeter.credit_change as bigint check (value between - keymeter.max_credits() and keymeter.max_credits());
comment on domain keymeter.credit_change is 'A change of a number of credits. It is negative when credits are given back.';
-- This check belongs to a domain and not to the table. Postgres evaluates the check of a domain only when a value is stored in
-- the column, and the check of a table for every updated row, so for every charge.
--
-- If an array has fewer than 10 elements, the comparisons with its missing elements are null. A null does not violate a check.
create domain keymeter.thresholds as smallint[] check (
  coalesce(array_ndims(value) = 1 and array_lower(value, 1) = 1, true) and cardinality(value) <= 10 and array_position(value, null) is null
  and value[1] >= 1 and value[cardinality(value)] <= 1000
  and value[1] < value[2] and value[2] < value[3] and value[3] < value[4] and value[4] < value[5] and value[5] < value[6]
  and value[6] < value[7] and value[7] < value[8] and value[8] < value[9] and value[9] < value[10]
);
comment on domain keymeter.thresholds is 'At most 10 different thresholds of 1 to 1000 percent, in ascending order.';
create domain keymeter.credits_left_thresholds as bigint[] check (
  coalesce(array_ndims(value) = 1 and array_lower(value, 1) = 1, true) and cardinality(value) <= 10 and array_position(value, null) is null
  and value[1] <= keymeter.max_credits() and value[cardinality(value)] >= 0
  and value[1] > value[2] and value[2] > value[3] and value[3] > value[4] and value[4] > value[5] and value[5] > value[6]
  and value[6] > value[7] and value[7] > value[8] and value[8] > value[9] and value[9] > value[10]
);
comment on domain keymeter.credits_left_thresholds is 'At most 10 different numbers of credits, in descending order.';

create table public.plans (
  plan text primary key check (plan ~ '^[a-z0-9._-]{1,32}$'),
  credits_per_cycle keymeter.credits not null,
  created_at timestamptz not null default now()
);
comment on table public.plans is
  'The plans that the operator offers. A new account gets the plan free. When an account changes to a plan, the account copies the plan''s credits. A later change of the plan does not affect the account.';

insert into public.plans (plan, credits_per_cycle) values ('free', 1000);

create table public.billing_accounts (
  user_id uuid primary key,
  plan text not null default 'free',
  credits_per_cycle keymeter.credits not null,
  billing_cycle_anchor timestamptz(3) not null default date_trunc('milliseconds', now()),
  billing_cycle_start timestamptz(3) not null default date_trunc('milliseconds', now()),
  -- Keep this expression a single function call. Postgres reads the stored expression again for every updated row. In a batch
  -- with many accounts, reading a long expression was 20 % of the time of the batch.
  billing_cycle_end timestamptz(3) generated always as (keymeter.cycle_end(billing_cycle_anchor, billing_cycle_start)) stored,
  created_at timestamptz not null default now(),
  suspended_at timestamptz(3),
  closed_at timestamptz(3),
  erased_at timestamptz(3),
  name text check (char_length(name) between 1 and 64 and name !~ '[a-z0-9]_(dev|prod)_[0-9A-Za-z]{20}'),
  requires_second_factor boolean not null default false,

  credits_used bigint not null default 0 check (credits_used >= 0),
  credits_held bigint not null default 0 check (credits_held >= 0),
  top_up_balance keymeter.credits not null default 0,
  topped_up_this_cycle bigint not null default 0,
  next_plan text,
  next_credits_per_cycle keymeter.credits,
  alert_thresholds keymeter.thresholds not null default '{50,80,100}',
  alert_credits_left keymeter.credits_left_thresholds,
  alert_period bigint not null default 0,
  next_alert_percent smallint default 0,
  next_alert_credits_left bigint default keymeter.max_credits(),
  next_alert_at_refusal boolean not null default true,
  free_credits_refusal text check (free_credits_refusal in ('mailbox_used', 'not_confirmed', 'not_offered')),

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
-- The fillfactor leaves room for the new version of a changed row on the same page. No index contains a column that a charge
-- changes. So Postgres does not add index entries when a charge updates an account.
) with (fillfactor = 70);

comment on table public.billing_accounts is
  'One row for each account. It contains the plan, the balance of the current billing cycle, and the state that the charge engine reads before it decides.';
comment on column public.billing_accounts.user_id is 'The id of the account. It equals the id of the user who opened the account, but it is not the id of a user: only account_members refers to users.';
comment on column public.billing_accounts.credits_per_cycle is 'The credits that the plan grants in each cycle. A change to a plan with more credits raises this number immediately.';
comment on column public.billing_accounts.billing_cycle_anchor is
  'The start of the first billing cycle. All other cycle boundaries are computed from the anchor. Do not change the anchor: if the current cycle does not start at a boundary of the new anchor, the next charge closes the current cycle with a usage of 0.';
comment on column public.billing_accounts.billing_cycle_start is
  'The start of the cycle that credits_used, credits_held and topped_up_this_cycle belong to. If nobody used the account, this cycle may have ended months ago. The next charge then starts the current cycle. Until then, reads compute the current cycle and write nothing.';
comment on column public.billing_accounts.suspended_at is 'The time when the operator suspended the account. Nothing can be charged or held while the account is suspended. Null means that the account is not suspended.';
comment on column public.billing_accounts.closed_at is
  'The time when an owner deleted the account. Its keys are revoked, and nobody is a member. The operator can erase its data from then on.';
comment on column public.billing_accounts.erased_at is
  'The time when the operator began to erase the data of the closed account. Its totals are not reconciled from then on. Null means that the data is kept.';
comment on column public.billing_accounts.name is 'What the members call the account. Null means that it has no name, so lists show the address of its owner.';
comment on column public.billing_accounts.requires_second_factor is 'True if members must sign in with a second factor before they can act on the account.';
comment on column public.billing_accounts.credits_held is 'The credits of the open holds that were made in this cycle.';
comment on column public.billing_accounts.top_up_balance is
  'The top-ups that were left at the start of the cycle, plus the top-ups that were added in the cycle. Top-ups that were taken back in the cycle are subtracted. The usage of the cycle is subtracted only when the cycle ends. The granted credits of a cycle are spent before top-ups.';
comment on column public.billing_accounts.topped_up_this_cycle is
  'The part of top_up_balance that was added in this cycle. It is negative if more top-ups of earlier cycles were taken back in this cycle than were added.';
comment on column public.billing_accounts.next_plan is 'The plan from the next cycle on. Null means that the plan does not change.';
comment on column public.billing_accounts.next_credits_per_cycle is 'The credits of next_plan at the time when the plan change was requested. Null means that next_plan is null.';
comment on column public.billing_accounts.free_credits_refusal is
  'Why the plan free grants no credits to this account. mailbox_used: another account has got free credits for the same mailbox. not_confirmed: the e-mail address was not confirmed when the account was created. not_offered: the operator offers no free credits. Null means that the account got free credits.';
comment on column public.billing_accounts.alert_thresholds is 'The thresholds of the account, in percent of credits_per_cycle.';
comment on column public.billing_accounts.alert_credits_left is
  'The thresholds of the account, as numbers of credits left. Null means that the account has chosen none, so keymeter.credits_left_alerts decides.';
comment on column public.billing_accounts.alert_period is
  'The number of times that the account got credits or another plan and an alert can be recorded again since (keymeter.begin_alert_period).';
comment on column public.billing_accounts.next_alert_percent is
  'The lowest threshold in percent that has no alert yet. A charge that does not reach it reads no thresholds. 0 means that the next charge finds the threshold. Null means that every threshold has its alert.';
comment on column public.billing_accounts.next_alert_credits_left is
  'The highest threshold of credits left that has no alert yet. A charge that does not reach it reads no thresholds. The maximum number of credits means that the next charge finds the threshold. Null means that every threshold has its alert.';
comment on column public.billing_accounts.next_alert_at_refusal is
  'False if a refused charge that asks for more credits than are left records no alert at 0.';
comment on column public.billing_accounts.last_event_sequence is 'The sequence of the account''s last usage event. 0 means that there is no event.';
comment on column public.billing_accounts.last_event_at is 'The time of the account''s last usage event. Null means that there is no event.';
comment on column public.billing_accounts.holds_expire_at is 'The time when the next open hold expires. Null means that no hold is open.';
comment on column public.billing_accounts.usage_by_day_until is 'usage_by_day contains all usage before this time. Newer usage is only in usage_by_quarter_hour.';
comment on column public.billing_accounts.usage_by_day_due_at is 'From this time on, the next charge checks whether new usage must be added to usage_by_day.';
comment on column public.billing_accounts.audit_length is 'The number of entries in the account''s audit log.';
comment on column public.billing_accounts.audit_head is 'The hash of the last entry in the account''s audit log. Null means that there is no entry.';

-- Serve the operator's list of all accounts, and of the suspended accounts, by the time of their creation.
create index billing_accounts_created_idx on public.billing_accounts (created_at, user_id);
create index billing_accounts_suspended_idx on public.billing_accounts (created_at, user_id) where suspended_at is not null;

create table public.billing_cycles (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null check (cycle_end > cycle_start),
  plan text not null,
  credits_granted bigint not null check (credits_granted >= 0),
  credits_used bigint not null check (credits_used >= 0),
  credits_held bigint not null default 0 check (credits_held >= 0),
  credits_topped_up bigint not null default 0,
  primary key (user_id, cycle_start)
);
comment on table public.billing_cycles is
  'Closed cycles with their totals. A hold can stay open after its cycle has ended. When such a hold is settled, credits_held of the closed cycle becomes smaller and credits_used grows.';
comment on column public.billing_cycles.credits_topped_up is
  'The top-ups that were added in this cycle, minus the top-ups that were taken back in this cycle. The number can be negative, because a top-up can be taken back in a later cycle.';
comment on column public.billing_cycles.credits_held is 'The credits of the holds that were made in this cycle and are still open.';

alter table public.plans enable row level security;
alter table public.billing_accounts enable row level security;
alter table public.billing_cycles enable row level security;
