-- The maximum number of operations of an account. It must equal `OPERATIONS_MAX` in packages/contract. A test compares the two.
create function keymeter.max_operations() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 100 $$;
