-- Adds the items of a batch to the roll-ups usage_by_cycle and usage_by_quarter_hour.
create function keymeter.record_usage(items keymeter.metering_item[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  insert into public.usage_by_cycle as kept (user_id, cycle_start, api_key_id, credits_charged, charges, credits_held)
    select user_id, cycle_start, api_key_id, sum(credits_charged), count(*) filter (where verdict in ('charged', 'settled')), sum(held_change)
      from unnest(items)
     where is_counted
     group by user_id, cycle_start, api_key_id
     order by user_id, cycle_start, api_key_id
    on conflict (user_id, api_key_id, cycle_start) do update
       set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges,
           credits_held = kept.credits_held + excluded.credits_held;

  insert into public.usage_by_quarter_hour as kept
      (user_id, cycle_start, api_key_id, operation, quarter_hour, credits_charged, charges, credits_refunded)
    select user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', coalesce(counted_at, moment), 'epoch'),
           sum(credits_charged), count(*) filter (where verdict <> 'refunded'),
           coalesce(- sum(credits_charged) filter (where verdict = 'refunded'), 0)
      from unnest(items)
     where is_counted and verdict in ('charged', 'settled', 'refunded')
     group by user_id, cycle_start, api_key_id, operation, date_bin('15 minutes', coalesce(counted_at, moment), 'epoch')
     order by user_id, cycle_start, api_key_id, operation
    on conflict (user_id, api_key_id, cycle_start, operation, quarter_hour) do update
       set credits_charged = kept.credits_charged + excluded.credits_charged, charges = kept.charges + excluded.charges,
           credits_refunded = kept.credits_refunded + excluded.credits_refunded;
end
$$;
