-- How long an idempotency key returns its original verdict. `IDEMPOTENCY_DAYS` of the contract is the same number; a test
-- compares them.
create function keymeter.idempotency_window() returns interval
  language sql immutable parallel safe
  as $$ select interval '35 days' $$;
