-- How many different operations an account can use. `OPERATIONS_MAX` of the contract is the same number; a test compares them.
create function keymeter.max_operations() returns int
  language sql immutable parallel safe
  as $$ select 100 $$;
