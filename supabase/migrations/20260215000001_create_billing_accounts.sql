-- Billing accounts: one per user. Boundary k of the billing cycle is anchor + k months in UTC, clipped to the month's
-- length; the anchor alone decides, at the millisecond precision that SQL and JavaScript share.
create table public.billing_accounts (
  user_id uuid primary key,
  plan text not null default 'free' check (plan in ('free')),
  credits_per_cycle bigint not null default 1000 check (credits_per_cycle between 0 and 9007199254740991),
  billing_cycle_anchor timestamptz(3) not null default date_trunc('milliseconds', now()),
  billing_cycle_start timestamptz(3) not null default date_trunc('milliseconds', now()),
  created_at timestamptz not null default now(),
  check (billing_cycle_start >= billing_cycle_anchor)
);

comment on column public.billing_accounts.billing_cycle_anchor is 'Start of the first billing cycle; every other boundary is computed from it.';
comment on column public.billing_accounts.billing_cycle_start is 'A cache of the start of the cycle that was current when last written. May be months old; never decides.';

alter table public.billing_accounts enable row level security;
revoke all on public.billing_accounts from public, anon, authenticated, service_role;
