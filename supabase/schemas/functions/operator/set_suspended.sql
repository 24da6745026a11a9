-- Suspends an account or resumes it. While it is suspended, nothing is charged or held; open holds can still be settled. Returns
-- whether it changed.
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
