-- Returns the id of the account whose rows the server may see in this transaction. keymeter.enter_account has set it. Returns null
-- if no account was entered, or if the member of the call is not a member of the account (any more), so the server sees no rows.
-- Without a member, the call belongs to the operator or to Keymeter itself, which may act on every account.
create function keymeter.current_account() returns uuid
  language plpgsql stable parallel safe security definer set search_path = ''
  as $$
declare
  account constant uuid := nullif(current_setting('app.user_id', true), '');
  member constant uuid := keymeter.current_member();
begin
  if member is null or exists (select from public.account_members as members
                                where members.user_id = account and members.member_id = member and members.role is not null) then
    return account;
  end if;
  return null;
end
$$;
