-- How many holds of an account can be open. When all of them expire at the same time, the next charge of the account ends each
-- of them, and that must fit into one statement. `HOLDS_OPEN_MAX` of the contract is the same number; a test compares them.
create function keymeter.max_open_holds() returns int
  language sql immutable parallel safe
  as $$ select 10000 $$;
