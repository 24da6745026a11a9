-- The longest grace period, in which the previous secret of a rotated key still works. It must equal `GRACE_SECONDS_MAX` in
-- packages/contract. A test compares the two.
create function keymeter.max_grace() returns interval
  language sql immutable parallel safe set search_path = ''
  as $$ select interval '7 days' $$;
