-- Returns the account time at `moment`: the time that decisions about the account use. It equals `moment`, except that it is
-- never earlier than the account's last event or the start of its stored cycle. So the account time does not go back if
-- somebody sets the clock of the database back.
create function keymeter.account_time(moment timestamptz, last_event_at timestamptz, billing_cycle_start timestamptz) returns timestamptz
  language plpgsql immutable parallel safe set search_path = ''
  as $$
begin
  return greatest(moment, last_event_at, billing_cycle_start);
end
$$;
