-- Returns the invitation with this token, for the page that asks whether to accept it, and what can be said about it: `open`,
-- `expired`, `revoked`, `accepted` or `closed`. Returns no row if there is none. The token is the right to read it.
--
-- An invitation counts as revoked if the member who sent it can no longer send it (keymeter.can_still_invite).
create function keymeter.find_invitation(token_hash bytea)
  returns table (account uuid, account_name text, email text, role text, invited_by text, expires_at timestamptz, accepted_by uuid, state text)
  language sql stable security definer set search_path = ''
  as $$
    select found.user_id, accounts.name, found.email, found.role::text,
           (select members.email from public.account_members as members
             where members.user_id = found.user_id and members.member_id = found.invited_by),
           found.expires_at, found.accepted_by,
           -- Closing an account revokes its open invitations, so `closed` comes first.
           case when found.accepted_at is not null then 'accepted' when accounts.closed_at is not null then 'closed'
                when found.revoked_at is not null or not keymeter.can_still_invite(found.user_id, found.invited_by, found.role)
                  then 'revoked' when found.expires_at <= keymeter.now() then 'expired' else 'open' end
      from public.account_invitations as found
      join public.billing_accounts as accounts on accounts.user_id = found.user_id
     where found.token_hash = find_invitation.token_hash
  $$;
