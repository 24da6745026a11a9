-- Returns the number of the billing cycle that contains `moment`. The first cycle has the number 0. A moment before the anchor
-- also gets the number 0. keymeter.months_between(anchor, moment) is this number or one more, because each calendar month
-- contains one cycle boundary.
create function keymeter.cycle_index(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select greatest(0, keymeter.months_between(anchor, moment)
      - (keymeter.cycle_boundary(anchor, keymeter.months_between(anchor, moment)) > moment)::int)
  $$;
