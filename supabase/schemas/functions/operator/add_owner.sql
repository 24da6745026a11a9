-- Makes a user an owner of an account, in the name of the operator, and adds an entry to the audit log. It repairs an account without an
-- owner: only the deletion of a user in Supabase can leave one. The foreign key refuses a member that is not a user.
--
-- Returns `added`, `unchanged`, `closed`, `too_many`, or `account_not_found`. Only `added` changes something.
create function keymeter.add_owner(account uuid, member uuid, email text, origin keymeter.call_origin) returns text
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_role text;
  v_now timestamptz;
begin
  if not keymeter.lock_account(account) then
    return 'account_not_found';
  end if;
  if exists (select from public.billing_accounts as accounts where accounts.user_id = account and accounts.closed_at is not null) then
    return 'closed';
  end if;
  select members.role into v_role from public.account_members as members
   where members.user_id = account and members.member_id = add_owner.member;
  if v_role = 'owner' then
    return 'unchanged';
  end if;
  if v_role is null and (select count(*) from public.account_members as members
                          where members.user_id = account and members.role is not null) >= keymeter.max_members() then
    return 'too_many';
  end if;
  v_now := date_trunc('milliseconds', keymeter.now());
  insert into public.account_members (user_id, member_id, role, email, created_at)
  values (account, add_owner.member, 'owner', add_owner.email, v_now)
  on conflict (user_id, member_id) do update
     set role = 'owner', email = excluded.email, removed_at = null,
         created_at = case when account_members.role is null then excluded.created_at else account_members.created_at end;
  if v_role is null then
    perform keymeter.append_audit_entry(account, 'operator', null, 'member.joined', null,
      json_build_object('memberId', add_owner.member, 'email', add_owner.email, 'role', 'owner'), origin, v_now);
  else
    perform keymeter.append_audit_entry(account, 'operator', null, 'member.role_changed', null,
      json_build_object('memberId', add_owner.member, 'email', add_owner.email, 'role', json_build_object('from', v_role, 'to', 'owner')), origin, v_now);
  end if;
  return 'added';
end
$$;
