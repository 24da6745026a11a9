-- Returns what the member of the call would lose, for each account in keymeter.accounts_of_member: `is_last_owner` is true if the account
-- would have no owner without the member. `other_members` is the number of all other members. The
-- counts are scalar: for `exists`, Postgres could read the members of all accounts.
create function keymeter.deletion_of_member()
  returns table (account uuid, name text, owner text, role text, needs_second_factor boolean, is_last_owner boolean, other_members int, live_keys int,
                 credits_left bigint, credits_held bigint)
  language sql stable security definer set search_path = ''
  as $$
    select mine.account, mine.name, mine.owner, mine.role, mine.needs_second_factor,
           mine.role = 'owner' and (select count(*) from public.account_members as owners
                                     where owners.user_id = mine.account and owners.role = 'owner'
                                       and owners.member_id <> keymeter.current_member()) = 0,
           (select count(*) from public.account_members as others
             where others.user_id = mine.account and others.role is not null and others.member_id <> keymeter.current_member())::int,
           (select count(*) from public.api_keys as keys where keys.user_id = mine.account and keys.revoked_at is null)::int,
           greatest(0, cycles.credits_carried + cycles.credits_granted + cycles.credits_topped_up - cycles.credits_used - cycles.credits_held),
           cycles.credits_held
      from keymeter.accounts_of_member() as mine
      left join lateral keymeter.account_cycles(mine.account, keymeter.now()) as cycles on cycles.is_current
  $$;
