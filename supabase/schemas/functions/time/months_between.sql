-- The difference between the calendar months of two moments, in UTC. Days do not count: January 31 to February 1 is 1.
create function keymeter.months_between(anchor timestamptz, moment timestamptz) returns int
  language sql immutable parallel safe
  as $$
    select (date_part('year', moment at time zone 'UTC') - date_part('year', anchor at time zone 'UTC'))::int * 12
         + (date_part('month', moment at time zone 'UTC') - date_part('month', anchor at time zone 'UTC'))::int
  $$;
