-- Records that the member of the call (keymeter.current_member) has changed a key, in the audit log of the account of the call
-- (keymeter.current_account). The time of the entry is the database's clock. The server calls this function in the transaction of
-- the change.
--
-- The caller chooses neither the actor nor the account nor the time. So an attacker with the login of the server's role can
-- neither write an entry in the name of the operator nor break the hash chain.
create function keymeter.record_audit(action text, key_id uuid, detail json, origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  member constant uuid := keymeter.current_member();
begin
  if member is null or action not like 'key.%' or not exists (select from public.api_keys where user_id = account and id = key_id) then
    raise exception 'record_audit: a member records only changes of a key of the account' using errcode = '22023';
  end if;
  perform keymeter.append_audit_entry(account, 'member', member, action, key_id, detail, origin, keymeter.now());
end
$$;
