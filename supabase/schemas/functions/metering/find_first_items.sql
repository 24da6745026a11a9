-- Returns, for each item of a batch, the position of the first item with the same account and the same idempotency key. Returns
-- null if no idempotency key occurs twice in the batch.
create function keymeter.find_first_items(user_ids uuid[], idempotency_keys text[]) returns int[]
  language plpgsql immutable set search_path = ''
  as $$
begin
  if cardinality(user_ids) = 1 or not exists (
    select from unnest(user_ids, idempotency_keys) as given (user_id, idempotency_key)
     where idempotency_key is not null group by user_id, idempotency_key having count(*) > 1
  ) then
    return null;
  end if;
  return (
    select array_agg(first_item order by n)
      from (select n, min(n) over (partition by user_id, idempotency_key)::int as first_item
              from unnest(user_ids, idempotency_keys) with ordinality as given (user_id, idempotency_key, n)) as items);
end
$$;
