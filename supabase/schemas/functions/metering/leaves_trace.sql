-- Whether an item with this verdict becomes a usage event. An item without one does not exist or was not found.
create function keymeter.leaves_trace(verdict text) returns boolean
  language sql immutable
  as $$ select verdict not in ('operation_limit_exceeded', 'hold_limit_exceeded') $$;
