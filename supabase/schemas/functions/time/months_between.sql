-- Returns the difference between the calendar months of two times, in UTC. The day is ignored: from January 31 to February 1 is
-- 1 month.
create function keymeter.months_between(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select (date_part('year', moment at time zone 'UTC') - date_part('year', anchor at time zone 'UTC'))::int * 12
         + (date_part('month', moment at time zone 'UTC') - date_part('month', anchor at time zone 'UTC'))::int
  $$;
