-- Returns the end of the billing cycle that starts at `cycle_start`. If the anchor was changed and `cycle_start` is no longer a
-- boundary, it returns `cycle_start` itself. The cycle then counts as ended, and the next charge starts the right cycle.
create function keymeter.cycle_end(anchor timestamptz, cycle_start timestamptz) returns timestamptz
  language plpgsql immutable parallel safe set search_path = ''
  as $$
declare
  index constant int := keymeter.cycle_index(anchor, cycle_start);
begin
  return case when keymeter.cycle_boundary(anchor, index) = cycle_start then keymeter.cycle_boundary(anchor, index + 1) else cycle_start end;
end
$$;
