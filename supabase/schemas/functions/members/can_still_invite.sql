-- Returns true if the member who has sent an invitation as `invited` still has the right to send it. keymeter.set_member_role revokes the
-- invitations of a member who loses this right. Only this function notices that the user of the member was deleted in Supabase. A null
-- as `inviter` means that no member sent the invitation.
create function keymeter.can_still_invite(account uuid, inviter uuid, invited text) returns boolean
  language sql stable parallel safe set search_path = ''
  as $$
    select inviter is null
      or keymeter.can_invite((select members.role from public.account_members as members
                               where members.user_id = account and members.member_id = inviter), invited)
  $$;
