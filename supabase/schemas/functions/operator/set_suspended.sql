-- Suspends or resumes an account. A suspended account cannot be charged and cannot make holds, but its open holds can still be
-- settled. A change adds an entry to the audit log. If the account is already in this state, the function changes nothing.
create function keymeter.set_suspended(account uuid, is_suspended boolean, origin keymeter.call_origin) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  v_now timestamptz;
begin
  perform keymeter.lock_account(account);
  v_now := keymeter.now();
  update public.billing_accounts set suspended_at = case when is_suspended then v_now end
   where user_id = account and (suspended_at is not null) <> is_suspended;
  if not found then
    return;
  end if;
  perform keymeter.append_audit_entry(account, 'operator', null, case when is_suspended then 'account.suspended' else 'account.resumed' end, null,
    '{}', origin, v_now);
end
$$;
