-- Returns the end of the billing cycle that starts at `cycle_start`. If the anchor was changed and `cycle_start` is no longer a
-- boundary, it returns `cycle_start` itself. The cycle then counts as ended, and the next charge starts the right cycle.
create function keymeter.cycle_end(anchor timestamptz, cycle_start timestamptz) returns timestamptz
  language sql immutable parallel safe
  as $$
    select case when keymeter.cycle_boundary(anchor, keymeter.cycle_index(anchor, cycle_start)) = cycle_start
                then keymeter.cycle_boundary(anchor, keymeter.cycle_index(anchor, cycle_start) + 1)
                else cycle_start end
  $$;
