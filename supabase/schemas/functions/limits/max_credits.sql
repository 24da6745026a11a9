-- The largest number of credits: the largest integer that JSON and JavaScript carry exactly, 2^53 - 1.
create function keymeter.max_credits() returns bigint
  language sql immutable parallel safe
  as $$ select 9007199254740991 $$;
