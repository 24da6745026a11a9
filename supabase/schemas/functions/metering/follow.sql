-- Answers `item`, which has the same idempotency key as `lead`, an earlier item of the same batch. Returns the answer to
-- `lead`, or the verdict `conflict` if the two items are different requests.
create function keymeter.follow(item keymeter.metering_item, lead keymeter.metering_item) returns keymeter.metering_item
  language plpgsql immutable set search_path = ''
  as $$
begin
  if (lead.action, lead.refers_to, lead.lifetime) is distinct from (item.action, item.refers_to, item.lifetime)
     or (item.action <> 'release' and lead.credits_requested <> item.credits_requested)
     or (item.refers_to is null and (lead.api_key_id, lead.operation) is distinct from (item.api_key_id, item.operation)) then
    item.verdict := 'conflict';
    return item;
  end if;
  lead.position := item.position;
  lead.is_replayed := true;
  lead.is_counted := false;
  return lead;
end
$$;
