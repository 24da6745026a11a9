-- The maximum number of open holds of an account. If all of them expire at the same time, the next charge of the account must
-- end all of them before its statement times out. This limit must equal `HOLDS_OPEN_MAX` in packages/contract. A test compares
-- the two.
create function keymeter.max_open_holds() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 10000 $$;
