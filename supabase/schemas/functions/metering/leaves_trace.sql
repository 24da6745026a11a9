-- Returns true if an item with this verdict is stored as a usage event. Returns null if there is no verdict.
create function keymeter.leaves_trace(verdict text) returns boolean
  language sql immutable
  as $$ select verdict not in ('operation_limit_exceeded', 'hold_limit_exceeded') $$;
