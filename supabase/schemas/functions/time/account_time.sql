-- The time of an account at `moment`. It never runs backwards: it is never before the last event or the start of the current
-- cycle, even if somebody sets the clock back. Postgres inlines this function.
create function keymeter.account_time(moment timestamptz, last_event_at timestamptz, billing_cycle_start timestamptz) returns timestamptz
  language sql immutable parallel safe
  as $$ select greatest(moment, last_event_at, billing_cycle_start) $$;
