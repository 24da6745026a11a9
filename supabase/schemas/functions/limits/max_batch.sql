-- The maximum number of items in one call of keymeter.meter_batch. It must equal `CHARGES_MAX` in packages/contract. A test
-- compares the two.
create function keymeter.max_batch() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 500 $$;
