-- Usage events by month, and one row for each decided charge: what was asked, what was decided, and what the caller was
-- told, so that a retry is told the same. Written by public.charge_batch alone.
alter table public.api_key_usage rename to api_key_usage_before;
alter table public.api_key_usage_before rename constraint api_key_usage_pkey to api_key_usage_before_pkey;
drop index public.api_key_usage_key_time_idx;

create table public.api_key_usage (
  user_id uuid not null,
  -- Of the account, from 1, without a gap: given under the account's lock.
  sequence bigint not null,
  created_at timestamptz(3) not null,
  api_key_id uuid not null,
  idempotency_key text,
  operation text not null,
  verdict text not null,
  credits_requested bigint not null,
  credits_charged bigint not null check (credits_charged between 0 and 9007199254740991),
  -- The account's credits left, just after.
  remaining bigint not null,
  cycle_start timestamptz(3) not null,
  cycle_end timestamptz(3) not null,
  -- created_at last, where it bounds no scan: the planner takes its range for selective and would prefer this key to the
  -- index below, reading all of an account's events for each charge.
  primary key (user_id, sequence, created_at),
  foreign key (user_id) references public.billing_accounts (user_id) on delete cascade
) partition by range (created_at);

-- Serves the look for an earlier request with the same idempotency key. Not unique: a unique key would have to hold
-- created_at. Every writer locks the account first and then looks, which makes it exact.
create index api_key_usage_idempotency_idx on public.api_key_usage (user_id, idempotency_key);

comment on table public.api_key_usage is 'Usage events: one for each decided charge, refusals too. Append-only.';
comment on column public.api_key_usage.idempotency_key is 'Null for what was written before the charge engine.';

-- Months that nobody made in time fall here: a charge never fails for want of a partition.
create table public.api_key_usage_default partition of public.api_key_usage default;
-- Averages mislead about accounts: most have few rows and some very many. Told that there are few accounts, the planner
-- expects many rows of each, and goes by the index that names the row.
alter table public.api_key_usage alter column user_id set (n_distinct = 20);
alter table public.api_key_usage_default alter column user_id set (n_distinct = 20);

alter table public.api_key_usage enable row level security;
alter table public.api_key_usage_default enable row level security;
revoke all on public.api_key_usage, public.api_key_usage_default from public, anon, authenticated, service_role;
grant select on public.api_key_usage to keymeter_api;
create policy "Usage of the account of the call" on public.api_key_usage for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));

-- Makes the partitions of the current month, the two before and the `months` after it, where they are missing, and moves into each what
-- fell into the default partition meanwhile. Safe to call at any time, any number of times, by any number at once.
-- Returns the names of those that it made.
create function public.make_usage_partitions(months int default 3) returns setof text
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_first timestamptz := date_trunc('month', public.keymeter_now());
  v_start timestamptz;
  v_end timestamptz;
  v_name text;
begin
  if months not between 0 and 24 then
    raise exception 'make_usage_partitions: months must be between 0 and 24' using errcode = '22023';
  end if;
  -- One maker at a time; the lock ends with the transaction.
  perform pg_advisory_xact_lock(hashtext('keymeter.make_usage_partitions'));
  for v_start in
    -- The months that charges are looked for in (35 days back), those ahead, and those that hold rows without a partition.
    select generate_series(v_first - interval '2 months', v_first + make_interval(months => months), interval '1 month')
    union
    select distinct date_trunc('month', created_at) from public.api_key_usage_default
    order by 1
  loop
    v_end := v_start + interval '1 month';
    v_name := 'api_key_usage_' || to_char(v_start, 'YYYY_MM');
    continue when to_regclass('public.' || v_name) is not null;
    -- Charges of that month wait here for as long as the move takes.
    lock table public.api_key_usage_default in access exclusive mode;
    execute format('create table public.%I (like public.api_key_usage including defaults including constraints)', v_name);
    execute format('alter table public.%I enable row level security', v_name);
    execute format('alter table public.%I alter column user_id set (n_distinct = 20)', v_name);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_name);
    execute format(
      'with moved as (delete from public.api_key_usage_default where created_at >= %L and created_at < %L returning *) insert into public.%I select * from moved',
      v_start, v_end, v_name);
    execute format('alter table public.api_key_usage attach partition public.%I for values from (%L) to (%L)', v_name, v_start, v_end);
    return next v_name;
  end loop;
end
$$;
revoke all on function public.make_usage_partitions(int) from public, anon, authenticated, service_role;
grant execute on function public.make_usage_partitions(int) to keymeter_api;

-- Cut to the millisecond, never rounded up: that could be the boundary of the cycle after.
insert into public.api_key_usage
  (user_id, sequence, created_at, api_key_id, operation, verdict, credits_requested, credits_charged, remaining, cycle_start, cycle_end)
  select before.user_id, row_number() over (partition by before.user_id order by before.created_at, before.id),
         date_trunc('milliseconds', before.created_at),
         before.api_key_id, 'default', 'charged', credits_charged, credits_charged, 0,
         public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, before.created_at)),
         public.cycle_boundary(billing_cycle_anchor, public.cycle_index(billing_cycle_anchor, before.created_at) + 1)
    from public.api_key_usage_before as before
    join public.billing_accounts using (user_id);
drop table public.api_key_usage_before;
select public.make_usage_partitions();
