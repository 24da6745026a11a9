-- Appends an entry to the audit log of the account of the call, in the name of the member of the call, or of the operator.
create function keymeter.append_member_entry(account uuid, action text, detail json, origin keymeter.call_origin) returns void
  language sql volatile set search_path = ''
  as $$
    select keymeter.append_audit_entry(account, case when keymeter.current_member() is null then 'operator' else 'member' end,
                                       keymeter.current_member(), action, null, detail, origin, keymeter.now())
  $$;
