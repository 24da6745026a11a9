-- From this number of 15-minute rows on, an account gets a daily roll-up. Fewer rows are as fast to read as they are.
-- Tests replace this function.
create function keymeter.min_rows_of_daily_roll_up() returns int
  language sql immutable parallel safe
  as $$ select 1000 $$;
