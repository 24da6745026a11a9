-- Invites an address to the account of the call. An earlier open invitation of the same address ends, so at most one link works. The
-- caller has checked the role, and keymeter.lock_for_call has locked the account.
--
-- Returns the id of the invitation, or the reason why there is none: `already_member` or `too_many`.
create function keymeter.invite_member(
  token_hash bytea, email text, new_role text, origin keymeter.call_origin, out id uuid, out refusal text
)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  v_now timestamptz;
begin
  perform keymeter.lock_account(account);
  -- The role is null if the member was removed while this call waited for the lock.
  if not keymeter.can_invite(keymeter.role_of_call(), new_role) then
    raise exception 'invite_member: this role cannot invite' using errcode = '42501';
  end if;
  v_now := date_trunc('milliseconds', keymeter.now());
  if exists (select from public.account_members as members
              where members.user_id = account and members.role is not null and lower(members.email) = lower(invite_member.email)) then
    refusal := 'already_member';
    return;
  end if;
  update public.account_invitations as open set revoked_at = v_now
   where open.user_id = account and open.accepted_at is null and open.revoked_at is null
     and (lower(open.email) = lower(invite_member.email) or open.expires_at <= v_now);
  if (select count(*) from public.account_invitations as open
       where open.user_id = account and open.accepted_at is null and open.revoked_at is null)
     + (select count(*) from public.account_members as members where members.user_id = account and members.role is not null)
     >= keymeter.max_members() then
    refusal := 'too_many';
    return;
  end if;
  insert into public.account_invitations as made (user_id, token_hash, email, role, invited_by, created_at, expires_at)
  values (account, invite_member.token_hash, invite_member.email, new_role, keymeter.current_member(), v_now, v_now + interval '7 days')
  returning made.id into id;
  perform keymeter.append_member_entry(account, 'member.invited', json_build_object('email', invite_member.email, 'role', new_role), origin);
end
$$;
