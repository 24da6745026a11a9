-- The operator's log records who of the operator's staff has read the data of a customer, and when. (The audit log of an account
-- records changes, also those of the operator.) Only keymeter.record_operator_read writes it, in the transaction that reads. The
-- server's role has no right on it.

create table public.operator_log (
  created_at timestamptz(3) not null,
  request_id text not null check (char_length(request_id) between 1 and 64),
  command text not null check (command ~ '^[a-z-]{1,32}$'),
  -- This column has no foreign key. An entry remains when the account is deleted.
  user_id uuid,
  -- The second part of the check matches most of a secret (packages/contract/src/whole-secret.ts).
  search text check (char_length(search) between 1 and 400 and search !~ '[a-z0-9]_(dev|prod)_[0-9A-Za-z]{20}'),
  os_user text not null check (char_length(os_user) between 1 and 64),
  database_user text not null,
  primary key (created_at, request_id)
);
comment on table public.operator_log is
  'One entry for each read of customers'' data by the operator. Entries are only added. Nothing depends on old entries, so the owner of the database can delete them.';
comment on column public.operator_log.request_id is 'The id of the command. The entries of the audit log contain such an id too.';
comment on column public.operator_log.command is 'The command of the CLI, e.g. usage.';
comment on column public.operator_log.user_id is 'The id of the account that was read. Null means that the command searched all accounts, and found none or several.';
comment on column public.operator_log.search is 'What the command searched for, e.g. a part of an address, the filters of a list, or a key prefix. It never contains a secret.';
comment on column public.operator_log.os_user is 'The user of the operating system who ran the command, as the CLI reports it. It is not verified.';
comment on column public.operator_log.database_user is 'The role with which the command logged in to the database.';

-- Serves the list of the entries about one account.
create index operator_log_account_idx on public.operator_log (user_id, created_at, request_id) where user_id is not null;

alter table public.operator_log enable row level security;
