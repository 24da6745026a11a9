-- The members of an account, and the invitations to become one. The functions in functions/members write these tables.
--
-- An account does not depend on a user: only account_members refers to the users of Supabase Auth. When a user is deleted, the
-- memberships of this user are deleted, and their accounts, keys and audit entries stay.

create domain keymeter.member_role as text check (value in ('owner', 'admin', 'developer', 'viewer'));
comment on domain keymeter.member_role is 'What a member may do. packages/contract/src/access.ts contains the table of all calls and roles.';

create table public.account_members (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  member_id uuid not null,
  role keymeter.member_role,
  -- The second part of the check matches most of a secret (packages/contract/src/whole-secret.ts).
  email text check (char_length(email) between 1 and 254 and email !~ '[a-z0-9]_(dev|prod)_[0-9A-Za-z]{20}'),
  created_at timestamptz(3) not null default date_trunc('milliseconds', now()),
  removed_at timestamptz(3),
  primary key (user_id, member_id),
  check ((role is null) = (removed_at is not null))
);
comment on table public.account_members is
  'Who may act on an account. The row of a removed member is kept, so that the activity and the keys still show who the member was.';
comment on column public.account_members.member_id is 'The id of the user in Supabase Auth.';
comment on column public.account_members.role is 'Null means that the user is no longer a member.';
comment on column public.account_members.email is
  'The e-mail address of the user when the user last opened the dashboard, for lists. It decides nothing. Null if it is unknown.';
comment on column public.account_members.removed_at is 'The time when the user left the account or was removed from it.';
-- Serves the list of a user's accounts, and the cascade from the user.
create index account_members_member_idx on public.account_members (member_id, user_id);

create table public.account_invitations (
  user_id uuid not null references public.billing_accounts (user_id) on delete cascade,
  id uuid not null default gen_random_uuid(),
  -- An invitation is found by its token, before the account is known. So this unique key does not contain the account.
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  email text not null check (char_length(email) between 1 and 254 and email !~ '[a-z0-9]_(dev|prod)_[0-9A-Za-z]{20}'),
  role keymeter.member_role not null,
  invited_by uuid,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null check (expires_at > created_at),
  revoked_at timestamptz(3),
  accepted_at timestamptz(3),
  accepted_by uuid,
  primary key (user_id, id),
  check ((accepted_at is null) = (accepted_by is null)),
  check (accepted_at is null or revoked_at is null)
);
comment on table public.account_invitations is 'Invitations to become a member of an account. Only the hash of the token is stored.';
comment on column public.account_invitations.token_hash is 'The SHA-256 hash of the token in the link.';
comment on column public.account_invitations.email is 'The address that is invited. Only a user with this confirmed address can accept.';
comment on column public.account_invitations.invited_by is 'The member who invited. Null means that the operator did.';
-- Serves the list of the open invitations of an account, newest first.
create index account_invitations_open_idx on public.account_invitations (user_id, created_at desc, id)
  where accepted_at is null and revoked_at is null;
-- Serves keymeter.is_invited, which does not know the account. The end of the invitation is a part of the index, so that expired
-- invitations of an address are not read.
create index account_invitations_email_idx on public.account_invitations (lower(email), expires_at)
  where accepted_at is null and revoked_at is null;

-- keys.sql explains why n_distinct is set. All accounts have few members, so account_members needs no such setting.
alter table public.account_invitations alter column user_id set (n_distinct = 20);

alter table public.account_members enable row level security;
alter table public.account_invitations enable row level security;
