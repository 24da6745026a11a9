-- Whether a charge only asks about a key: it takes nothing and is not stored.
create function keymeter.is_verify(credits_requested bigint, idempotency_key text) returns boolean
  language sql immutable
  as $$ select credits_requested = 0 and idempotency_key is null $$;
