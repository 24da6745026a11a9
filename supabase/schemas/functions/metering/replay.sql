-- Answers an item whose idempotency key was used in an earlier batch. Returns the original answer, or the verdict `conflict` if
-- the earlier request was a different one.
create function keymeter.replay(item keymeter.metering_item, original keymeter.metering_item, is_same_request boolean)
  returns keymeter.metering_item
  language plpgsql stable set search_path = ''
  as $$
begin
  if not is_same_request then
    item.verdict := 'conflict';
    item.is_replayed := true;
    return item;
  end if;
  original.key_type := coalesce(item.key_type,
    (select keys.key_type from public.api_keys as keys where keys.user_id = original.user_id and keys.id = original.api_key_id));
  return original;
end
$$;
