-- Returns true if a charge is a verify: a charge of 0 credits without an idempotency key. A verify is not stored as a usage
-- event.
create function keymeter.is_verify(credits_requested bigint, idempotency_key text) returns boolean
  language sql immutable
  as $$ select credits_requested = 0 and idempotency_key is null $$;
