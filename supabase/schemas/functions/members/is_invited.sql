-- Returns true if an open invitation to any account is for this address. account_invitations_email_idx contains only open
-- invitations. Only a person with this confirmed address may learn the answer, so the caller has asked the auth server for the address.
create function keymeter.is_invited(email text) returns boolean
  language sql stable security definer set search_path = ''
  as $$
    select exists (
      select from public.account_invitations as open
       where lower(open.email) = lower(is_invited.email) and open.accepted_at is null and open.revoked_at is null
         and open.expires_at > keymeter.now() and keymeter.can_still_invite(open.user_id, open.invited_by, open.role))
  $$;
