-- Holds, the ledger and alerts.

create table public.credit_holds (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
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
comment on table public.credit_holds is
  'Credits that are taken before the work starts, because its cost is known only afterwards. A hold is open while outcome is null and expires_at is in the future.';
comment on column public.credit_holds.sequence is 'The sequence of the usage event that made the hold.';
comment on column public.credit_holds.cycle_start is 'The start of the cycle in which the hold was made. A settle of the hold counts in that cycle, even after the cycle has ended.';
comment on column public.credit_holds.ended_at is 'The time when the hold was settled or released. For an expired hold, it equals expires_at.';

-- Used to find expired holds and the next hold to expire, and to count open holds.
create index credit_holds_open_idx on public.credit_holds (user_id, expires_at) where outcome is null;

create table public.ledger_entries (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  sequence bigint not null,
  created_at timestamptz(3) not null,
  cycle_start timestamptz(3) not null,
  kind text not null check (kind in ('top_up', 'take_back', 'plan_change', 'refund', 'refund_top_up')),
  credits bigint not null check (case kind when 'take_back' then credits <= 0 else credits >= 0 end),
  event_sequence bigint,
  refers_to bigint check (refers_to < sequence),
  credits_requested keymeter.credits,
  credits_spent keymeter.credits,
  plan text,
  idempotency_key text check (char_length(idempotency_key) between 1 and 255),
  note text check (char_length(note) <= 200),
  primary key (user_id, sequence),
  check ((kind = 'take_back') = (refers_to is not null)),
  check ((kind = 'take_back') = (credits_spent is not null))
);
comment on table public.ledger_entries is 'The top-ups, taken back top-ups, plan changes and refunds of an account. Charges are not entries: the ledger page reads them from the roll-ups.';
comment on column public.ledger_entries.sequence is 'The number of the entry in the account''s ledger. The first entry is 1, and there are no gaps.';
comment on column public.ledger_entries.cycle_start is 'The start of the cycle that contains created_at.';
comment on column public.ledger_entries.kind is
  'The kind refund means that the cycle of the charge had not ended. The kind refund_top_up means that it had ended, so the refund became a top-up.';
comment on column public.ledger_entries.credits is
  'The credits that the entry added to the balance. It is 0 for a plan change that adds no credits. It is negative for a top-up that was taken back, and 0 if nothing of it was left.';
comment on column public.ledger_entries.event_sequence is 'The sequence of the usage event of a refund. Null means that the entry is not a refund.';
comment on column public.ledger_entries.refers_to is 'The sequence of the top-up that this entry takes back. Null means that the entry does not take a top-up back.';
comment on column public.ledger_entries.credits_requested is
  'The credits that the operator asked to take back. Null means all credits of the top-up, or that the entry does not take a top-up back.';
comment on column public.ledger_entries.credits_spent is 'The credits that could not be taken back, because they were spent or held. Null means that the entry does not take a top-up back.';
comment on column public.ledger_entries.plan is 'The new plan of a plan change. Null means that the entry is not a plan change.';
comment on column public.ledger_entries.idempotency_key is 'The idempotency key of a top-up, or of the request that takes it back. A retry with the same key returns this entry, without a time limit. Null for all other kinds.';

-- Serves the ledger of a cycle. It contains the credits, so that the many refunds of a day are summed without reading the table.
create index ledger_entries_cycle_idx on public.ledger_entries (user_id, cycle_start, kind, created_at, sequence) include (credits);
-- Used to find the earlier entries that took back a part of the same top-up.
create index ledger_entries_refers_to_idx on public.ledger_entries (user_id, refers_to) include (credits) where refers_to is not null;
create unique index ledger_entries_idempotency_idx on public.ledger_entries (user_id, idempotency_key) where idempotency_key is not null;

create table public.alerts (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  period bigint not null,
  kind text not null check (kind in ('percent', 'credits_left')),
  threshold keymeter.credits not null,
  created_at timestamptz(3) not null,
  plan text not null,
  credits_used bigint not null check (credits_used >= 0),
  credits_left bigint not null check (credits_left >= 0),
  credits_granted bigint not null check (credits_granted >= 0),
  primary key (user_id, cycle_start, period, kind, threshold)
);
comment on table public.alerts is
  'One row for each time that an account has reached a threshold. The primary key allows one alert for each threshold in an alert period of a cycle.';
comment on column public.alerts.period is
  'The last alert period of the account (billing_accounts.alert_period) in which this alert must not be recorded again.';
comment on column public.alerts.kind is 'The kind percent means that the usage reached the threshold. The kind credits_left means that what was left fell to the threshold.';
comment on column public.alerts.threshold is 'For the kind percent, a percentage of credits_granted. For the kind credits_left, a number of credits.';
comment on column public.alerts.credits_used is 'The highest usage in the batch of the charge.';
comment on column public.alerts.credits_left is 'The lowest number of credits left in the batch of the charge: granted + top-ups - used. Held credits are left.';

-- Serves the list of the newest alerts. The last column orders the alerts of one batch by the time when their thresholds were
-- reached: usage grows, and what is left falls.
create index alerts_time_idx on public.alerts (user_id, created_at, kind, (case kind when 'percent' then threshold else -threshold end));

-- keys.sql explains why n_distinct is set.
alter table public.credit_holds alter column user_id set (n_distinct = 20);
alter table public.ledger_entries alter column user_id set (n_distinct = 20);

alter table public.credit_holds enable row level security;
alter table public.ledger_entries enable row level security;
alter table public.alerts enable row level security;
