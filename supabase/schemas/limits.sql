-- The counters of the rate limits, and the mailboxes that have had free credits. These tables belong to no account: a counter can
-- belong to a client address, and a mailbox must be remembered after its account is deleted.

-- The library rate-limiter-flexible reads and writes this table. It needs exactly these columns in this order.
create table public.rate_limits (
  key text primary key check (octet_length(key) <= 128),
  points integer not null,
  expire bigint not null
-- The fillfactor leaves room for the new version of a counted row on the same page. No index contains `points`.
) with (fillfactor = 70);
comment on table public.rate_limits is
  'One row for each limit and each client address, mailbox or account that was counted in the current window. A row is deleted a few minutes after its window has ended. To end a refusal early, delete its row and restart the server.';
comment on column public.rate_limits.key is
  'The name of the limit, a colon, and what is limited: a client address (an IPv6 address as its /64), the hash of a mailbox, or the id of an account.';
comment on column public.rate_limits.points is 'The number of attempts in the window, including refused attempts.';
comment on column public.rate_limits.expire is 'The end of the window, in milliseconds since 1970.';
-- Finds the rows whose window has ended.
create index rate_limits_expire_idx on public.rate_limits (expire);

create table public.mailbox_allowances (
  mailbox_hash bytea primary key check (octet_length(mailbox_hash) = 32),
  created_at timestamptz not null default now()
);
comment on table public.mailbox_allowances is
  'The mailboxes for which an account has got free credits. There is no reference to the user, so a row remains when the user is deleted. To let a mailbox get free credits again, delete its row.';
comment on column public.mailbox_allowances.mailbox_hash is
  'The SHA-256 hash of the mailbox. packages/api/src/auth/mailbox.ts computes it. All spellings of a mailbox have the same hash.';

alter table public.rate_limits enable row level security;
alter table public.mailbox_allowances enable row level security;
