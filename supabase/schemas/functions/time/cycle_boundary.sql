-- Returns the cycle boundary that is `months` calendar months after `anchor`, in UTC, at the same time of day. If the month is
-- too short for the day of the anchor, the boundary is on the last day of the month. A boundary is always computed from the
-- anchor, never from the previous boundary: Jan 31, Feb 28, Mar 31.
create function keymeter.cycle_boundary(anchor timestamptz, months int) returns timestamptz
  language plpgsql immutable parallel safe set search_path = ''
  as $$
begin
  return ((anchor at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC';
end
$$;
