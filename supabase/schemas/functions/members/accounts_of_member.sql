-- Returns the accounts of the member of the call, the oldest membership first. `owner` is the address of the first owner, for an
-- account without a name. `email` is the stored address of the member.
create function keymeter.accounts_of_member()
  returns table (account uuid, name text, owner text, role text, needs_second_factor boolean, email text)
  language sql stable security definer set search_path = ''
  as $$
    select members.user_id, accounts.name,
           (select owners.email from public.account_members as owners
             where owners.user_id = members.user_id and owners.role = 'owner' order by owners.created_at, owners.member_id limit 1),
           members.role::text, accounts.requires_second_factor, members.email
      from public.account_members as members
      join public.billing_accounts as accounts on accounts.user_id = members.user_id
     where members.member_id = keymeter.current_member() and members.role is not null
     order by members.created_at, members.user_id
     limit keymeter.max_members()
  $$;
