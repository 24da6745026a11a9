-- Makes `member` a member of the account of an invitation. `email` is the confirmed address of the member: it must be the invited
-- address. A repeat by the same member changes nothing and is accepted too.
--
-- Returns `accepted`, `not_found`, `expired`, `revoked`, `used` (by somebody else), `closed`, `other_address`, or `already_member` if
-- the member has another way into the account: then the invitation is used up and the role stays. The account is locked, so of
-- concurrent calls only one uses the invitation.
create function keymeter.accept_invitation(
  token_hash bytea, member uuid, email text, origin keymeter.call_origin, out outcome text, out account uuid
)
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  found_invitation record;
  v_now timestamptz;
begin
  select * into found_invitation from keymeter.find_invitation(accept_invitation.token_hash);
  if not found then
    outcome := 'not_found';
    return;
  end if;
  account := found_invitation.account;
  perform keymeter.lock_account(account);
  select * into found_invitation from keymeter.find_invitation(accept_invitation.token_hash);
  if lower(found_invitation.email) is distinct from lower(accept_invitation.email) then
    outcome := 'other_address';
    return;
  end if;
  if found_invitation.state <> 'open' then
    outcome := case when found_invitation.state <> 'accepted' then found_invitation.state
                    when found_invitation.accepted_by = accept_invitation.member then 'accepted' else 'used' end;
    return;
  end if;
  v_now := date_trunc('milliseconds', keymeter.now());
  update public.account_invitations as made set accepted_at = v_now, accepted_by = accept_invitation.member
   where made.user_id = account and made.token_hash = accept_invitation.token_hash;
  if exists (select from public.account_members as members
              where members.user_id = account and members.member_id = accept_invitation.member and members.role is not null) then
    outcome := 'already_member';
    return;
  end if;
  insert into public.account_members (user_id, member_id, role, email, created_at)
  values (account, accept_invitation.member, found_invitation.role, accept_invitation.email, v_now)
  on conflict (user_id, member_id) do update set role = excluded.role, email = excluded.email, created_at = excluded.created_at, removed_at = null;
  perform keymeter.append_audit_entry(account, 'member', accept_invitation.member, 'member.joined', null,
    json_build_object('memberId', accept_invitation.member, 'email', accept_invitation.email, 'role', found_invitation.role), origin, keymeter.now());
  outcome := 'accepted';
end
$$;
