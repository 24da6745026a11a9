-- The number of the billing cycle that contains `moment`, from 0. A moment before the anchor belongs to cycle 0.
-- There is one boundary in each calendar month, so the difference of the months is either right or one too large.
create function keymeter.cycle_index(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select greatest(0, keymeter.months_between(anchor, moment)
      - (keymeter.cycle_boundary(anchor, keymeter.months_between(anchor, moment)) > moment)::int)
  $$;
