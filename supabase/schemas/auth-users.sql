-- The foreign key to the users of Supabase Auth. When a user is deleted, the memberships of this user are deleted, and nothing
-- else (docs/decisions/0037-accounts-and-members.md). This foreign key is a separate migration, because it needs the schema
-- `auth`.
alter table public.account_members
  add constraint account_members_member_id_fkey foreign key (member_id) references auth.users (id) on delete cascade;
