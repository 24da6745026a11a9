-- The longest lifetime of a hold, in seconds. It must equal `HOLD_SECONDS_MAX` in packages/contract. A test compares the two.
create function keymeter.max_hold_seconds() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 604800 $$;
