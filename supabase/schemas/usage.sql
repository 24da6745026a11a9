-- Usage events and their roll-ups. Only keymeter.meter_batch writes them.

create table public.api_key_usage (
  user_id uuid not null,
  sequence bigint not null,
  created_at timestamptz(3) not null,
  api_key_id uuid not null,
  action text not null default 'charge' check (action in ('charge', 'hold', 'settle', 'release', 'refund')),
  verdict text not null,
  idempotency_key text,
  operation text not null,
  refers_to bigint,
  credits_requested bigint not null,
  credits_charged keymeter.credit_change not null,
  remaining bigint not null,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null,
  counted_at timestamptz(3),
  expires_at timestamptz(3),
  -- Keep created_at last. Earlier in the key, the planner believes that a range of created_at is selective, prefers this key to
  -- the idempotency index, and reads all events of the account on every charge.
  primary key (user_id, sequence, created_at),
  foreign key (user_id) references public.billing_accounts (user_id) on delete cascade
) partition by range (created_at);
comment on table public.api_key_usage is
  'Usage events, one per decided request, refusals included. Append-only, partitioned by month. They store the answer, so that a retry gets the same answer.';
comment on column public.api_key_usage.sequence is 'Per account, from 1, without gaps.';
comment on column public.api_key_usage.refers_to is 'The sequence of the hold that is settled or released, or of the charge that is refunded.';
comment on column public.api_key_usage.credits_charged is 'The change of the usage of the cycle cycle_start. Negative for a refund.';
comment on column public.api_key_usage.remaining is 'The credits that the account had left after this event.';
comment on column public.api_key_usage.cycle_start is 'The cycle that the credits belong to: for a settle the cycle of its hold, for a refund the cycle of its charge.';
comment on column public.api_key_usage.cycle_end is 'The end of the cycle of created_at, as the answer contained it.';
comment on column public.api_key_usage.counted_at is
  'When the work was requested, if that is not created_at: for a settle the time of its hold, for a refund the time of its charge. Roll-ups count the usage at this time.';
comment on column public.api_key_usage.expires_at is 'Set for holds: when the hold expires by itself.';

-- Serves the search for an earlier request with the same idempotency key. It is not unique: a unique key of a partitioned table
-- must contain created_at. The search is exact because it runs under the lock of the account.
create index api_key_usage_idempotency_idx on public.api_key_usage (user_id, idempotency_key);
-- Serves the refunds of a charge. It contains no charges, so they do not pay for it.
create index api_key_usage_refers_to_idx on public.api_key_usage (user_id, refers_to) where refers_to is not null;
-- These two serve the list of usage events, together with the primary key. One index per filter would cost every charge 6 to 23 %
-- (docs/decisions/0012-finding-usage-events.md). A plain charge writes to neither, except for every thousandth.
-- From a moment to a sequence:
create index api_key_usage_milestone_idx on public.api_key_usage (user_id, created_at, sequence) where sequence % 1000 = 0;
-- Events that the roll-ups do not count: refusals, and actions other than charges.
create index api_key_usage_uncounted_idx on public.api_key_usage (user_id, sequence) where verdict <> 'charged' or action <> 'charge';

-- Events of a month without a partition go here, so that a charge never fails because a partition is missing.
create table public.api_key_usage_default partition of public.api_key_usage default;

create table public.operations (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  operation text not null check (operation ~ '^[a-z0-9._:-]{1,64}$'),
  primary key (user_id, operation)
);
comment on table public.operations is 'The operations that an account has used. Their number is limited.';

create table public.usage_by_cycle (
  user_id uuid not null,
  cycle_start timestamptz(3) not null,
  api_key_id uuid not null,
  credits_charged bigint not null,
  charges bigint not null,
  -- Without a check: an upsert checks the row that it would insert, which is negative for a settle, before it adds it.
  credits_held bigint not null default 0,
  primary key (user_id, api_key_id, cycle_start),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
) with (fillfactor = 80);
comment on table public.usage_by_cycle is 'Roll-up: the usage of a key in a billing cycle. The transaction of the charge updates it, so it is always exact.';
comment on column public.usage_by_cycle.charges is 'The number of charges and settles.';
comment on column public.usage_by_cycle.credits_held is 'The credits of open holds of the key that were made in the cycle.';

create table public.usage_by_quarter_hour (
  user_id uuid not null,
  cycle_start timestamptz(3) not null,
  api_key_id uuid not null,
  operation text not null,
  quarter_hour timestamptz(0) not null,
  credits_charged bigint not null,
  charges bigint not null,
  credits_refunded bigint not null default 0 check (credits_refunded >= 0),
  primary key (user_id, api_key_id, cycle_start, operation, quarter_hour),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
) with (fillfactor = 80);
comment on table public.usage_by_quarter_hour is
  'Roll-up: the usage of a key and an operation in 15 minutes. The days of every time zone are sums of these buckets. The cycle is part of the key, because a cycle can start inside a bucket.';
comment on column public.usage_by_quarter_hour.quarter_hour is 'The start of the 15 minutes.';
comment on column public.usage_by_quarter_hour.credits_charged is 'What was charged, minus refunds in the same cycle.';

-- Serves the usage of an account over a range of time. Its columns never change, so a charge that adds to a bucket writes no
-- index entry.
create index usage_by_quarter_hour_time_idx on public.usage_by_quarter_hour (user_id, quarter_hour);

create table public.usage_by_day (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  cycle_start timestamptz(3) not null,
  day date not null,
  api_key_id uuid,
  operation text,
  quarters smallint[] not null,
  credits_charged bigint[] not null,
  charges bigint[] not null,
  credits_refunded bigint not null,
  unique nulls not distinct (user_id, operation, day, api_key_id, cycle_start)
);
comment on table public.usage_by_day is
  'Roll-up: one row per UTC day, with a running total for each 15 minutes. Only accounts with many rows in usage_by_quarter_hour have it. Only keymeter.usage_totals reads it.';
comment on column public.usage_by_day.api_key_id is 'Null: the sum of all keys.';
comment on column public.usage_by_day.operation is 'Null: the sum of all operations.';
comment on column public.usage_by_day.quarters is 'The 15-minute buckets of the day with usage, 0 to 95, in ascending order.';
comment on column public.usage_by_day.credits_charged is 'For each of quarters, the credits from the start of the day to the end of that bucket.';
comment on column public.usage_by_day.charges is 'For each of quarters, the charges from the start of the day to the end of that bucket.';
comment on column public.usage_by_day.credits_refunded is 'The refunds of the whole day.';

-- Serves all operations of a key, and the sum of all keys. The unique key serves all keys of an operation, and the sum of all
-- operations.
create index usage_by_day_key_idx on public.usage_by_day (user_id, api_key_id, day, operation);
-- A full day has the largest size that Postgres stores without compression. Compressed, every read would have to decompress it.
alter table public.usage_by_day
  alter column quarters set storage plain, alter column credits_charged set storage plain, alter column charges set storage plain;
-- Its unique key contains nulls, so it cannot identify a row for logical replication. Without this, a publication of all tables
-- would make the updates fail, and with them the charges.
alter table public.usage_by_day replica identity full;

create table public.usage_retention (
  user_id uuid primary key references public.billing_accounts (user_id) on delete cascade,
  last_event_sequence bigint not null check (last_event_sequence > 0),
  last_event_at timestamptz(3) not null,
  kept_from timestamptz(3) not null check (kept_from > last_event_at)
);
comment on table public.usage_retention is
  'Accounts with dropped usage events, and what is needed to prove that nothing else is missing. The roll-ups, cycles and ledger of dropped months stay.';
comment on column public.usage_retention.last_event_sequence is 'The sequence of the last dropped event.';
comment on column public.usage_retention.last_event_at is 'The time of the last dropped event.';
comment on column public.usage_retention.kept_from is
  'Every event since this moment is kept. Roll-ups and cycles that begin earlier cannot be recomputed.';

-- See keys.sql. keymeter.make_usage_partitions sets it for each partition.
alter table public.api_key_usage alter column user_id set (n_distinct = 20);
alter table public.api_key_usage_default alter column user_id set (n_distinct = 20);
alter table public.operations alter column user_id set (n_distinct = 20);
alter table public.usage_by_cycle alter column user_id set (n_distinct = 20);
alter table public.usage_by_quarter_hour alter column user_id set (n_distinct = 20);
alter table public.usage_by_day alter column user_id set (n_distinct = 20);

alter table public.api_key_usage enable row level security;
alter table public.api_key_usage_default enable row level security;
alter table public.operations enable row level security;
alter table public.usage_by_cycle enable row level security;
alter table public.usage_by_quarter_hour enable row level security;
alter table public.usage_by_day enable row level security;
alter table public.usage_retention enable row level security;
