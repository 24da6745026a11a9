-- Decides whether members of the account of the call need a second factor, and adds an entry to the audit log.
create function keymeter.require_second_factor(is_required boolean, origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  account constant uuid := keymeter.current_account();
begin
  perform keymeter.lock_account(account);
  if coalesce(keymeter.role_of_call(), '') not in ('owner', 'operator') then
    raise exception 'require_second_factor: only an owner decides this' using errcode = '42501';
  end if;
  update public.billing_accounts set requires_second_factor = is_required where user_id = account and requires_second_factor <> is_required;
  if found then
    perform keymeter.append_member_entry(account, 'account.second_factor_changed', json_build_object('isRequired', is_required), origin);
  end if;
end
$$;
