-- Appends one entry to the audit log of an account. The caller must hold the lock of the account. Without the lock, two
-- concurrent entries would continue the hash chain from the same entry, and the primary key would refuse the second one.
--
-- The server's role cannot execute this function: it can only record a member's changes of keys (keymeter.record_audit), and each
-- other function records its own change.
create function keymeter.append_audit_entry(
  account uuid, actor text, actor_id uuid, action text, key_id uuid, detail json, origin keymeter.call_origin, moment timestamptz
) returns void
  language plpgsql volatile set search_path = ''
  as $$
declare
  entry public.audit_log;
  head bytea;
begin
  perform keymeter.lock_account(account);
  select accounts.audit_length + 1, accounts.audit_head into strict entry.sequence, head
    from public.billing_accounts as accounts where accounts.user_id = account;
  entry.user_id := account;
  entry.actor := actor;
  entry.actor_id := actor_id;
  entry.action := action;
  entry.api_key_id := key_id;
  entry.detail := detail;
  -- Cut texts that come from a client, so that a long text never prevents a change.
  entry.request_id := left(origin.request_id, 64);
  entry.client_address := left(origin.client_address, 64);
  entry.user_agent := left(origin.user_agent, 256);
  entry.created_at := moment;
  entry.hash := keymeter.audit_hash(head, entry);
  insert into public.audit_log values (entry.*);
  update public.billing_accounts set audit_length = entry.sequence, audit_head = entry.hash where user_id = account;
end
$$;
