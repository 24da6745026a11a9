-- Adds an operation to an account. Returns false if the account already has the maximum number of operations. Returns true if
-- an earlier item of the batch has already added the operation.
create function keymeter.add_operation(account uuid, new_operation text) returns boolean
  language plpgsql volatile set search_path = ''
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
