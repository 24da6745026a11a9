-- Adds late usage to usage_by_day. Usage is late if usage_by_day already contains the 15-minute bucket of its time. This
-- happens if a settle or a refund counts at the time of an earlier hold or charge.
create function keymeter.record_late_usage(items keymeter.metering_item[]) returns void
  language plpgsql volatile set search_path = ''
  as $$
begin
  perform keymeter.add_to_usage_by_day(array(
    select row(item.user_id, item.cycle_start, item.api_key_id, item.operation, quarter_hour, item.credits_charged,
               (item.verdict <> 'refunded')::int::bigint,
               case item.verdict when 'refunded' then - item.credits_charged else 0 end)::public.usage_by_quarter_hour
      from unnest(items) as item
      join public.billing_accounts as accounts on accounts.user_id = item.user_id
     cross join lateral date_bin('15 minutes', coalesce(item.counted_at, item.moment), 'epoch') as quarter_hour
     where item.is_counted and item.verdict in ('charged', 'settled', 'refunded') and quarter_hour < accounts.usage_by_day_until));
end
$$;
