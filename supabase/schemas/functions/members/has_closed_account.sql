-- Returns true if the member of the call has deleted this account. A person whose answer was lost repeats the call, but is no longer a
-- member. Relies on audit_log_action_idx.
create function keymeter.has_closed_account(account uuid) returns boolean
  language sql stable security definer set search_path = ''
  as $$
    select exists (select from public.audit_log as log
                    where log.user_id = account and log.action = 'account.closed' and log.actor_id = keymeter.current_member())
  $$;
