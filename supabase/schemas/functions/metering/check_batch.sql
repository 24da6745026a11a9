-- Raises an error (22023) if the items of a batch are not valid. The server checks its requests before it sends a batch. This
-- function protects the credits against a stolen login of the server's role. For example, a charge of negative credits would
-- add credits to the account, and its event would agree with the balance.
--
-- Each condition reads a whole array. A query on the elements of the arrays would take several times as long.
create function keymeter.check_batch(
  actions text[], user_ids uuid[], key_hashes bytea[], refers_to bigint[], credits bigint[], idempotency_keys text[], operations text[],
  lifetimes int[]
) returns void
  language plpgsql immutable set search_path = ''
  as $$
declare
  size int := cardinality(user_ids);
begin
  -- If an argument is null, the condition is null and not true.
  if size between 1 and keymeter.max_batch()
     and cardinality(actions) = size and cardinality(key_hashes) = size and cardinality(refers_to) = size and cardinality(credits) = size
     and cardinality(idempotency_keys) = size and cardinality(operations) = size and cardinality(lifetimes) = size
     and actions <@ array['charge', 'hold', 'settle', 'release', 'refund']
     and array_position(user_ids, null) is null and array_position(credits, null) is null
     and 0 <= all(credits) and keymeter.max_credits() >= all(credits)
     and (0 < all(lifetimes)) is not false and (keymeter.max_hold_seconds() >= all(lifetimes)) is not false then
    return;
  end if;
  raise exception 'meter_batch: the arguments are not a valid batch' using errcode = '22023';
end
$$;
