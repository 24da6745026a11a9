-- Stores the last use of keys and secrets, at most once a minute for each of them. A valid key counts as used even if its
-- charge was refused because too few credits were left.
create function keymeter.record_last_use(items keymeter.metering_item[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  update public.api_keys as used set last_used_at = batch.moment
    from (select user_id, api_key_id, max(moment) as moment
            from unnest(items)
           where not is_replayed and verdict in ('charged', 'held', 'insufficient_credits', 'key_limit_exceeded')
           group by user_id, api_key_id) as batch
   where used.user_id = batch.user_id and used.id = batch.api_key_id
     and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
  update public.api_key_secrets as used set last_used_at = batch.moment
    from (select user_id, key_hash, max(moment) as moment
            from unnest(items)
           where not is_replayed and verdict in ('charged', 'held', 'insufficient_credits', 'key_limit_exceeded')
           group by user_id, key_hash) as batch
   where used.user_id = batch.user_id and used.key_hash = batch.key_hash
     and (used.last_used_at is null or used.last_used_at < batch.moment - interval '1 minute');
end
$$;
