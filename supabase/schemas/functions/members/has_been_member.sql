-- Returns true if the member of the call is or was a member of an account. The rows of removed members are kept.
create function keymeter.has_been_member() returns boolean
  language sql stable security definer set search_path = ''
  as $$ select exists (select from public.account_members as members where members.member_id = keymeter.current_member()) $$;
