-- The time for which a retry with the same idempotency key returns the original verdict. It must equal `IDEMPOTENCY_DAYS` in
-- packages/contract. A test compares the two.
create function keymeter.idempotency_window() returns interval
  language sql immutable parallel safe set search_path = ''
  as $$ select interval '35 days' $$;
