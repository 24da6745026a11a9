-- Changes the role of a member of the account of the call, or removes the member if `new_role` is null. A member can lower the own
-- role and leave. Owners can do everything else, and admins everything that is not about an owner. An account always has an owner.
--
-- The open invitations that the member has sent end, if the new role cannot send them. Otherwise the member could prepare a way back, with an
-- invitation to an address of their own. If the member is removed, open invitations to the address of the member end, too.
--
-- Returns `changed`, `unchanged`, `member_not_found`, `not_allowed` or `last_owner`. Only `changed` changes something, and it adds
-- entries to the audit log. The account is locked, so two owners who leave concurrently leave one after the other.
create function keymeter.set_member_role(member uuid, new_role text, origin keymeter.call_origin) returns text
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  caller_role text;
  old record;
  ended record;
begin
  if account is null then
    return 'not_allowed';
  end if;
  perform keymeter.lock_account(account);
  caller_role := keymeter.role_of_call();
  select members.role, members.email into old from public.account_members as members
   where members.user_id = account and members.member_id = set_member_role.member and members.role is not null;
  if not found then
    return 'member_not_found';
  end if;
  if old.role = new_role then
    return 'unchanged';
  end if;
  if not coalesce(case
       when caller_role in ('owner', 'operator') then true
       -- Members of a lower role can only leave.
       when set_member_role.member = keymeter.current_member() then new_role is null or caller_role = 'admin' and new_role <> 'owner'
       when caller_role = 'admin' then old.role <> 'owner' and new_role is distinct from 'owner' end, false) then
    return 'not_allowed';
  end if;
  if old.role = 'owner' and not exists (select from public.account_members as others
                                         where others.user_id = account and others.role = 'owner' and others.member_id <> set_member_role.member) then
    return 'last_owner';
  end if;
  update public.account_members as members
     set role = new_role, removed_at = case when new_role is null then date_trunc('milliseconds', keymeter.now()) end
   where members.user_id = account and members.member_id = set_member_role.member;
  perform keymeter.append_member_entry(account,
    case when new_role is not null then 'member.role_changed'
         when set_member_role.member = keymeter.current_member() then 'member.left' else 'member.removed' end,
    json_build_object('memberId', set_member_role.member, 'email', old.email, 'role', json_build_object('from', old.role, 'to', new_role)), origin);
  for ended in
    update public.account_invitations as open set revoked_at = date_trunc('milliseconds', keymeter.now())
     where open.user_id = account and open.accepted_at is null and open.revoked_at is null
       and (open.invited_by = set_member_role.member and not keymeter.can_invite(new_role, open.role)
            or new_role is null and lower(open.email) = lower(old.email))
    returning open.email, open.role
  loop
    perform keymeter.append_member_entry(account, 'member.invitation_revoked',
      json_build_object('email', ended.email, 'role', ended.role), origin);
  end loop;
  return 'changed';
end
$$;
