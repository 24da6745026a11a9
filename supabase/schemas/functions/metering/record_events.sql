-- Stores the usage events of a batch.
create function keymeter.record_events(items keymeter.metering_item[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  insert into public.api_key_usage (user_id, sequence, created_at, api_key_id, action, verdict, idempotency_key, operation, refers_to,
                                    credits_requested, credits_charged, remaining, credits_held, cycle_start, cycle_end, counted_at, expires_at)
    select user_id, sequence, moment, api_key_id, action, verdict, idempotency_key, operation, refers_to,
           credits_requested, credits_charged, remaining, credits_held, cycle_start, cycle_end, counted_at, expires_at
      from unnest(items)
     where sequence is not null and not is_replayed;
end
$$;
