-- Plain expressions, neither strict nor with a FROM, so that Postgres inlines them into the queries that call them.
-- Billing cycles in SQL, by the definition that packages/api/src/billing/cycle.ts has too (a test compares the two).

-- Boundary `months` of the cycles of `anchor`: that many calendar months later in UTC, at the same time of day, clipped to
-- the month's length. Always from the anchor, never from the boundary before.
create function public.cycle_boundary(anchor timestamptz, months int) returns timestamptz
  language sql immutable parallel safe
  as $$ select ((anchor at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC' $$;

-- How many calendar months `moment` is after `anchor`, whatever the days: January 31 to February 1 is one.
create function public.months_between(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select (date_part('year', moment at time zone 'UTC') - date_part('year', anchor at time zone 'UTC'))::int * 12
         + (date_part('month', moment at time zone 'UTC') - date_part('month', anchor at time zone 'UTC'))::int
  $$;

-- The number of the cycle that `moment` lies in; a moment before the anchor lies in the first. In closed form: a boundary
-- lies in each calendar month, so the difference of the months is right or one too many.
create function public.cycle_index(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select greatest(0, public.months_between(anchor, moment)
      - (public.cycle_boundary(anchor, public.months_between(anchor, moment)) > moment)::int)
  $$;

revoke all on function public.cycle_boundary(timestamptz, int) from public, anon, authenticated, service_role;
revoke all on function public.months_between(timestamptz, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.cycle_index(timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.cycle_boundary(timestamptz, int) to keymeter_api;
grant execute on function public.months_between(timestamptz, timestamptz) to keymeter_api;
grant execute on function public.cycle_index(timestamptz, timestamptz) to keymeter_api;
