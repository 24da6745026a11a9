-- Revokes a key in the name of the operator, e.g. because its secret is public, and adds an entry to the audit log with the reason,
-- which the customer reads. If the account has no such key, or if the key is already revoked, the function changes nothing.
create function keymeter.revoke_key(account uuid, key_id uuid, reason text, origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_now timestamptz;
begin
  perform keymeter.lock_account(account);
  v_now := keymeter.now();
  update public.api_keys as keys set revoked_at = v_now
   where keys.user_id = account and keys.id = key_id and keys.revoked_at is null;
  if not found then
    return;
  end if;
  perform keymeter.append_audit_entry(account, 'operator', null, 'key.revoked', key_id,
    json_strip_nulls(json_build_object('reason', reason)), origin, v_now);
end
$$;
