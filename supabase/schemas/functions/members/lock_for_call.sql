-- Locks the account for an edit (keymeter.lock_account), and then returns the role of the member of the call. This role stays valid
-- until the transaction ends: a change of members locks the account too, and the deletion of a user in Supabase Auth, which does not
-- lock the account, waits for the lock of the member. Returns no row if the account does not exist.
--
-- The function runs with the rights of its owner: otherwise the account would seem not to exist if the member is removed while the
-- call waits.
create function keymeter.lock_for_call(account uuid) returns table (role text)
  language plpgsql volatile security definer set search_path = ''
  as $$
begin
  if keymeter.lock_account(account) then
    perform from public.account_members as members
      where members.user_id = account and members.member_id = keymeter.current_member() for share;
    return query select keymeter.role_of_call();
  end if;
end
$$;
