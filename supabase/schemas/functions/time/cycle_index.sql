-- Returns the number of the billing cycle that contains `moment`. The first cycle has the number 0. A moment before the anchor
-- also gets the number 0.
create function keymeter.cycle_index(anchor timestamptz, moment timestamptz) returns int
  language plpgsql immutable parallel safe set search_path = ''
  as $$
declare
  -- The difference between the calendar months of the two times, in UTC. The number of the cycle is this difference or one less,
  -- because each calendar month contains one cycle boundary.
  months constant int := (date_part('year', moment at time zone 'UTC') - date_part('year', anchor at time zone 'UTC')) * 12
                         + date_part('month', moment at time zone 'UTC') - date_part('month', anchor at time zone 'UTC');
begin
  return greatest(0, months - (keymeter.cycle_boundary(anchor, months) > moment)::int);
end
$$;
