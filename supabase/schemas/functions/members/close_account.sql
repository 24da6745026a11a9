-- Deletes the account of the call for its customers: revokes its keys and its open invitations, removes all members, and adds an
-- entry to the audit log. The events, the ledger and the audit log stay until the operator erases them, so the audit chain can be
-- verified. Open holds can still be settled or released. A closed account cannot be opened again, and a repeat by the operator changes
-- nothing.
create function keymeter.close_account(origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  v_now timestamptz;
  v_revoked int;
  v_members int;
begin
  perform keymeter.lock_account(account);
  -- The role is null if the member was removed while this call waited for the lock.
  if coalesce(keymeter.role_of_call(), '') not in ('owner', 'operator') then
    raise exception 'close_account: only an owner can delete the account' using errcode = '42501';
  end if;
  -- Members who were removed by this call have exactly this time as removed_at.
  v_now := date_trunc('milliseconds', keymeter.now());
  update public.billing_accounts set closed_at = v_now where user_id = account and closed_at is null;
  if not found then
    return;
  end if;
  update public.api_keys as keys set revoked_at = v_now where keys.user_id = account and keys.revoked_at is null;
  get diagnostics v_revoked = row_count;
  update public.account_invitations as open set revoked_at = v_now
   where open.user_id = account and open.accepted_at is null and open.revoked_at is null;
  select count(*) into v_members from public.account_members as members where members.user_id = account and members.role is not null;
  perform keymeter.append_member_entry(account, 'account.closed',
    json_build_object('keysRevoked', v_revoked, 'membersRemoved', v_members), origin);
  update public.account_members as members set role = null, removed_at = v_now
   where members.user_id = account and members.role is not null;
end
$$;
