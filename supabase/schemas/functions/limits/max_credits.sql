-- The largest number of credits, 2^53 - 1. JavaScript cannot represent all larger integers exactly.
create function keymeter.max_credits() returns bigint
  language sql immutable parallel safe set search_path = ''
  as $$ select 9007199254740991 $$;
