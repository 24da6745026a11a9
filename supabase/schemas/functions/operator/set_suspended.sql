-- Suspends or resumes an account. A suspended account cannot be charged and cannot make holds, but its open holds can still be
-- settled. Returns true if this call has changed the state of the account.
create function keymeter.set_suspended(account uuid, is_suspended boolean) returns boolean
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
begin
  perform from public.billing_accounts where user_id = account for no key update;
  update public.billing_accounts set suspended_at = case when is_suspended then keymeter.now() end
   where user_id = account and (suspended_at is not null) <> is_suspended;
  return found;
end
$$;
