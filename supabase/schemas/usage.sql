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
  -- These columns have domains and no check constraints. Postgres prepares a check constraint again for each insert statement,
  -- which takes longer than the check.
  credits_requested keymeter.credits not null,
  credits_charged keymeter.credit_change not null,
  remaining keymeter.credits not null,
  credits_held keymeter.credits,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null,
  counted_at timestamptz(3),
  expires_at timestamptz(3),
  -- Keep created_at last. If it came earlier, the planner would believe that a range of created_at is selective. It would then
  -- choose this key instead of the idempotency index, and every charge would read all events of its account.
  primary key (user_id, sequence, created_at),
  foreign key (user_id) references public.billing_accounts (user_id) on delete cascade
) partition by range (created_at);
comment on table public.api_key_usage is
  'Usage events: one row for each decided request, also for a refused request. Rows are never changed. An event stores the answer to its request, so a retry gets the same answer. The table is partitioned by month.';
comment on column public.api_key_usage.sequence is 'The number of the event in its account. The first event is 1, and there are no gaps.';
comment on column public.api_key_usage.refers_to is 'The sequence of the hold that this event settles or releases, or of the charge that it refunds. Null for charges and holds.';
comment on column public.api_key_usage.credits_charged is
  'The credits that this event adds to the usage of the cycle that starts at cycle_start. The number is negative for a refund. If a settle has charged fewer credits than credits_requested, the difference was not collected.';
comment on column public.api_key_usage.remaining is 'The credits that the account could still spend after this event.';
comment on column public.api_key_usage.credits_held is
  'The credits of open holds when the request was refused: of all holds of the account for insufficient_credits, and of the holds of the key in the cycle for key_limit_exceeded. Null for all other verdicts.';
comment on column public.api_key_usage.cycle_start is 'The start of the cycle that the credits count in. A settle counts in the cycle of its hold. A refund counts in the cycle of its charge, or becomes a top-up if that cycle has ended.';
comment on column public.api_key_usage.cycle_end is 'The end of the cycle that contains created_at. The answer to the request contained this time.';
comment on column public.api_key_usage.counted_at is
  'If it is set, the roll-ups count this event at this time and not at created_at. It is the time of the hold for a settle or a release, and the time of the charge for a refund.';
comment on column public.api_key_usage.expires_at is 'The time when the hold expires, if nobody ends it earlier. Null means that the event is not a hold.';

-- Used to find an earlier request with the same idempotency key. This index is not unique, because a unique index of a
-- partitioned table must contain created_at. The search is still exact, because every charge holds the lock of its account
-- while it searches.
create index api_key_usage_idempotency_idx on public.api_key_usage (user_id, idempotency_key);
-- Used to find the earlier refunds of a charge. This index contains no charges, so a charge does not write to it.
create index api_key_usage_refers_to_idx on public.api_key_usage (user_id, refers_to) where refers_to is not null;
-- The next two indexes and the primary key serve the list of usage events. An index for each filter would make charges slower,
-- by 6 to 23 % (docs/decisions/0012-finding-usage-events.md). A charge with the verdict `charged` writes to these two indexes
-- only if it is a milestone: every thousandth event of an account.
--
-- This index contains the milestones. It is used to find the sequence that belongs to a time.
create index api_key_usage_milestone_idx on public.api_key_usage (user_id, created_at, sequence) where sequence % 1000 = 0;
-- This index contains the uncounted events: refusals, and all actions other than charges. The list of usage events finds all
-- other events with the roll-ups. The roll-ups do not show uncounted events at created_at, so these events need an index.
create index api_key_usage_uncounted_idx on public.api_key_usage (user_id, sequence) where verdict <> 'charged' or action <> 'charge';

-- This partition takes the events of every month that has no partition of its own. So a charge does not fail if a partition is
-- missing.
create table public.api_key_usage_default partition of public.api_key_usage default;

create table public.operations (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  operation text not null check (operation ~ '^[a-z0-9._:-]{1,64}$'),
  primary key (user_id, operation)
);
comment on table public.operations is 'The operations that an account has used. keymeter.max_operations() limits their number.';

create table public.usage_by_cycle (
  user_id uuid not null,
  cycle_start timestamptz(3) not null,
  api_key_id uuid not null,
  credits_charged bigint not null,
  charges bigint not null,
  -- This column cannot have a check constraint. For a settle, the upsert proposes a row with negative credits, and Postgres
  -- checks the proposed row before it adds these credits to the existing row.
  credits_held bigint not null default 0,
  primary key (user_id, api_key_id, cycle_start),
  foreign key (user_id, api_key_id) references public.api_keys (user_id, id) on delete cascade
) with (fillfactor = 80);
comment on table public.usage_by_cycle is 'Roll-up: the usage of a key in a billing cycle. The transaction of a charge also updates this table, so the totals are exact at every commit.';
comment on column public.usage_by_cycle.charges is 'The number of charges and settles in the cycle.';
comment on column public.usage_by_cycle.credits_held is 'The credits of the open holds that the key made in the cycle.';

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
  'Roll-up: the usage of a key and an operation in a 15-minute bucket. The days of every time zone are sums of whole buckets. The primary key contains the cycle, because a cycle can start inside a bucket.';
comment on column public.usage_by_quarter_hour.quarter_hour is 'The start of the 15-minute bucket.';
comment on column public.usage_by_quarter_hour.credits_charged is 'The charged credits, minus the credits that were refunded before the cycle ended.';

-- Serves the usage of an account in a range of time. The indexed columns of a row never change, so a charge that updates an
-- existing bucket does not write to this index.
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
  'Roll-up: one row for each UTC day, with a running total for each 15-minute bucket that has usage. Only accounts with many rows in usage_by_quarter_hour have rows in this table. Read this table with keymeter.usage_totals.';
comment on column public.usage_by_day.api_key_id is 'The key of the usage. Null means that the row is the sum of all keys.';
comment on column public.usage_by_day.operation is 'The operation of the usage. Null means that the row is the sum of all operations.';
comment on column public.usage_by_day.quarters is 'The numbers of the 15-minute buckets that have usage, in ascending order. Bucket 0 starts at midnight, bucket 95 at 23:45.';
comment on column public.usage_by_day.credits_charged is 'An array with as many elements as the column quarters. Each element is the running total of credits from the start of the day to the end of the bucket at the same position of quarters.';
comment on column public.usage_by_day.charges is 'An array like the column credits_charged, with running totals of the number of charges.';
comment on column public.usage_by_day.credits_refunded is 'The refunded credits of all charges of the day.';

-- This index serves reads of one key by operation, and reads of the sums of all keys by operation. The unique key of the table
-- serves reads of one operation by key, and reads of the sums of all operations by key.
create index usage_by_day_key_idx on public.usage_by_day (user_id, api_key_id, day, operation);
-- By default, Postgres may compress the arrays of a day with much usage, and every read would have to decompress them. Storage
-- `plain` prevents this. Even a full day fits into a page without compression.
alter table public.usage_by_day
  alter column quarters set storage plain, alter column credits_charged set storage plain, alter column charges set storage plain;
-- The unique key contains nulls, so it cannot identify a row for logical replication. Without a replica identity, Postgres
-- refuses updates of this table if a publication contains all tables. Then charges would fail.
alter table public.usage_by_day replica identity full;

create table public.usage_retention (
  user_id uuid primary key references public.billing_accounts (user_id) on delete cascade,
  last_event_sequence bigint not null check (last_event_sequence > 0),
  last_event_at timestamptz(3) not null,
  kept_from timestamptz(3) not null check (kept_from > last_event_at)
);
comment on table public.usage_retention is
  'One row for each account whose old usage events were dropped. It identifies the last dropped event, so reconcile can prove that no later event is missing. Roll-ups, cycles and ledger entries of the dropped months are kept.';
comment on column public.usage_retention.last_event_sequence is 'The sequence of the last dropped event.';
comment on column public.usage_retention.last_event_at is 'The time of the last dropped event.';
comment on column public.usage_retention.kept_from is
  'All events from this time on are kept. Roll-ups and cycles that begin earlier cannot be recomputed from the events.';

-- keys.sql explains why n_distinct is set. keymeter.make_usage_partition sets it for each partition.
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
