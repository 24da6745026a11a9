-- Locks the account for an edit (keymeter.lock_account), and then returns the role of the member of the call. A change of members
-- locks the account too, so this role stays valid until the transaction ends. Returns no row if the account does not exist. The function
-- runs with the rights of its owner: otherwise the account would seem not to exist if the member is removed while the call waits.
create function keymeter.lock_for_call(account uuid) returns table (role text)
  language plpgsql volatile security definer set search_path = ''
  as $$
begin
  if keymeter.lock_account(account) then
    return query select keymeter.role_of_call();
  end if;
end
$$;
