-- An account gets a daily roll-up when it has this number of rows in usage_by_quarter_hour. Reads of fewer rows are fast
-- without a daily roll-up. Tests replace this function with a smaller number.
create function keymeter.min_rows_of_daily_roll_up() returns int
  language sql immutable parallel safe set search_path = ''
  as $$ select 1000 $$;
