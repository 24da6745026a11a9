-- Deletes the account of the call for its customers: revokes its keys and its open invitations, removes all members, and adds an
-- entry to the audit log. The events, the ledger and the audit log stay until the operator erases them, so the audit chain can be
-- verified. A closed account cannot be opened again.
create function keymeter.close_account(origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  v_now timestamptz;
  revoked int;
begin
  perform keymeter.lock_account(account);
  if keymeter.role_of_call() not in ('owner', 'operator') then
    raise exception 'close_account: only an owner can delete the account' using errcode = '42501';
  end if;
  v_now := keymeter.now();
  update public.api_keys as keys set revoked_at = v_now where keys.user_id = account and keys.revoked_at is null;
  get diagnostics revoked = row_count;
  update public.billing_accounts set closed_at = v_now where user_id = account;
  update public.account_invitations as open set revoked_at = date_trunc('milliseconds', v_now)
   where open.user_id = account and open.accepted_at is null and open.revoked_at is null;
  perform keymeter.append_member_entry(account, 'account.closed', json_build_object('keysRevoked', revoked), origin);
  update public.account_members as members set role = null, removed_at = date_trunc('milliseconds', v_now)
   where members.user_id = account and members.role is not null;
end
$$;
