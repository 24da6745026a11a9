-- Revokes an open invitation to the account of the call. Returns false if there is no such open invitation.
create function keymeter.revoke_invitation(invitation uuid, origin keymeter.call_origin) returns boolean
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  revoked record;
begin
  perform keymeter.lock_account(account);
  if coalesce(keymeter.role_of_call(), '') not in ('owner', 'admin', 'operator') then
    raise exception 'revoke_invitation: this role cannot revoke an invitation' using errcode = '42501';
  end if;
  update public.account_invitations as open set revoked_at = date_trunc('milliseconds', keymeter.now())
   where open.user_id = account and open.id = invitation and open.accepted_at is null and open.revoked_at is null
  returning open.email, open.role into revoked;
  if not found then
    return false;
  end if;
  perform keymeter.append_member_entry(account, 'member.invitation_revoked', json_build_object('email', revoked.email, 'role', revoked.role), origin);
  return true;
end
$$;
