-- Boundary `months` of the billing cycles of `anchor`: that many calendar months later, in UTC, at the same time of day, clipped
-- to the length of the month. Always computed from the anchor, never from the previous boundary: Jan 31, Feb 28, Mar 31.
--
-- This function and the other functions of cycles are plain expressions, neither strict nor with a FROM clause, so Postgres
-- inlines them.
create function keymeter.cycle_boundary(anchor timestamptz, months int) returns timestamptz
  language sql immutable parallel safe
  as $$ select ((anchor at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC' $$;
