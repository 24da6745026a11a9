-- Credits outside of plain charges: holds, the ledger, alerts.

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
  'Credits that are taken before work whose cost is known only afterwards. A hold is open while outcome is null and expires_at is in the future.';
comment on column public.credit_holds.sequence is 'The sequence of the usage event that made the hold.';
comment on column public.credit_holds.cycle_start is 'The cycle in which the hold was made. It is settled into that cycle, even after the cycle has ended.';
comment on column public.credit_holds.ended_at is 'For an expired hold: expires_at.';

-- Serves the search for holds that have expired, for the next one that will, and the count of open holds.
create index credit_holds_open_idx on public.credit_holds (user_id, expires_at) where outcome is null;

create table public.ledger_entries (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  sequence bigint not null,
  created_at timestamptz(3) not null,
  cycle_start timestamptz(3) not null,
  kind text not null check (kind in ('top_up', 'plan_change', 'refund', 'refund_top_up')),
  credits bigint not null check (credits >= 0),
  event_sequence bigint,
  plan text,
  idempotency_key text,
  note text,
  primary key (user_id, sequence)
);
comment on table public.ledger_entries is 'Every change of the balance except usage. The ledger page takes charges from the roll-ups.';
comment on column public.ledger_entries.sequence is 'Per account, from 1, without gaps.';
comment on column public.ledger_entries.cycle_start is 'The cycle that was current at created_at.';
comment on column public.ledger_entries.kind is
  'refund: a refund in the cycle of its charge. refund_top_up: a refund after that cycle has ended, which adds to the top-up balance.';
comment on column public.ledger_entries.credits is 'What the entry added to the balance.';
comment on column public.ledger_entries.event_sequence is 'Set for refunds: the sequence of the usage event.';
comment on column public.ledger_entries.plan is 'Set for plan changes: the new plan.';
comment on column public.ledger_entries.idempotency_key is 'Set for top-ups. A repeated key returns the original entry, without a time limit.';

create index ledger_entries_cycle_idx on public.ledger_entries (user_id, cycle_start, kind);
create unique index ledger_entries_idempotency_idx on public.ledger_entries (user_id, idempotency_key) where idempotency_key is not null;

create table public.alerts (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  threshold smallint not null,
  created_at timestamptz(3) not null,
  credits_used bigint not null,
  credits_granted bigint not null,
  primary key (user_id, cycle_start, threshold)
);
comment on table public.alerts is 'The thresholds that the usage of an account has reached, each at most once per cycle.';
comment on column public.alerts.threshold is 'Percent of credits_granted.';

alter table public.credit_holds alter column user_id set (n_distinct = 20);
alter table public.ledger_entries alter column user_id set (n_distinct = 20);

alter table public.credit_holds enable row level security;
alter table public.ledger_entries enable row level security;
alter table public.alerts enable row level security;
