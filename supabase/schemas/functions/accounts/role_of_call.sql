-- Returns the role of the member of the call in the account of the call, as it is now. Returns null if the member has no role in the
-- account, and `operator` if the call belongs to the operator or to Keymeter itself.
create function keymeter.role_of_call() returns text
  language plpgsql stable parallel safe security definer set search_path = ''
  as $$
declare
  member constant uuid := keymeter.current_member();
begin
  if member is null then
    return 'operator';
  end if;
  return (select members.role from public.account_members as members
           where members.user_id = nullif(current_setting('app.user_id', true), '')::uuid and members.member_id = member);
end
$$;
