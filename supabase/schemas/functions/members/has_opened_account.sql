-- Returns true if the member of the call has ever opened an account, also if they have left it or closed it since.
create function keymeter.has_opened_account() returns boolean
  language sql stable security definer set search_path = ''
  as $$ select exists (select from public.billing_accounts as accounts where accounts.user_id = keymeter.current_member()) $$;
