-- Changes the name of the account of the call, and adds an entry to the audit log. A null removes the name.
create function keymeter.set_account_name(new_name text, origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
  old_name text;
begin
  perform keymeter.lock_account(account);
  if coalesce(keymeter.role_of_call(), '') not in ('owner', 'admin', 'operator') then
    raise exception 'set_account_name: this role cannot rename the account' using errcode = '42501';
  end if;
  select accounts.name into strict old_name from public.billing_accounts as accounts where accounts.user_id = account;
  if old_name is distinct from new_name then
    update public.billing_accounts set name = new_name where user_id = account;
    perform keymeter.append_member_entry(account, 'account.renamed',
      json_build_object('name', json_build_object('from', old_name, 'to', new_name)), origin);
  end if;
end
$$;
