-- The maximum number of credits of one top-up, 2^50. It must equal `CREDITS_GIVEN_MAX` in packages/contract. A test compares the
-- two.
create function keymeter.max_credits_given() returns bigint
  language sql immutable parallel safe set search_path = ''
  as $$ select 1125899906842624 $$;
