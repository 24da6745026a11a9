-- Returns the maximum number of members and open invitations of an account, and of accounts that a list of a member's accounts
-- shows. packages/contract/src/members.ts contains the same number.
create function keymeter.max_members() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 100 $$;
