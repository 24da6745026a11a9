-- Adds an operation to the account. Returns false when the account has reached the limit of operations. An earlier item of the
-- same batch may have added it already.
create function keymeter.add_operation(account uuid, new_operation text) returns boolean
  language plpgsql volatile
  as $$
begin
  if exists (select from public.operations where user_id = account and operation = new_operation) then
    return true;
  end if;
  if (select count(*) from public.operations where user_id = account) >= keymeter.max_operations() then
    return false;
  end if;
  insert into public.operations (user_id, operation) values (account, new_operation);
  return true;
end
$$;
