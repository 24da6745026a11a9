-- Adds usage to usage_by_day. Usage that is newer than the last bucket of its row is appended. Late usage is inserted in its
-- bucket, and the running totals of all later buckets of the row grow.
create function keymeter.add_to_usage_by_day(added public.usage_by_quarter_hour[]) returns void
  language sql volatile set search_path = '' set timezone = 'UTC'
  as $$
  insert into public.usage_by_day as kept
      (user_id, cycle_start, day, api_key_id, operation, quarters, credits_charged, charges, credits_refunded)
    select user_id, cycle_start, day, api_key_id, operation,
           array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter), sum(refunded)
      from (select user_id, cycle_start, day, api_key_id, operation, quarter, refunded,
                   sum(credits) over until_then as credits, sum(charges) over until_then as charges
              from (select user_id, cycle_start, quarter_hour::date as day, api_key_id, operation,
                           (extract(epoch from quarter_hour - date_trunc('day', quarter_hour)) / 900)::smallint as quarter,
                           sum(credits_charged) as credits, sum(charges) as charges, sum(credits_refunded) as refunded
                      from unnest(added)
                     -- `cube` also makes the rows for all keys together, with a null key, and for all operations together, with
                     -- a null operation.
                     group by user_id, cycle_start, quarter_hour, cube (api_key_id, operation)) as used
            window until_then as (partition by user_id, cycle_start, day, api_key_id, operation order by quarter)) as days
     group by user_id, cycle_start, day, api_key_id, operation
     -- Reads select rows in this order, so write the rows in this order to place them on few pages.
     order by user_id, operation nulls first, api_key_id nulls first, day
    on conflict (user_id, operation, day, api_key_id, cycle_start) do update
       set credits_refunded = kept.credits_refunded + excluded.credits_refunded,
           (quarters, credits_charged, charges) = (
             -- If all buckets of the new usage are after the last bucket of the row, append them.
             select kept.quarters || excluded.quarters,
                    kept.credits_charged || array(select kept.credits_charged[cardinality(kept.quarters)] + more
                                                    from unnest(excluded.credits_charged) with ordinality as appended (more, n) order by n),
                    kept.charges || array(select kept.charges[cardinality(kept.quarters)] + more
                                            from unnest(excluded.charges) with ordinality as appended (more, n) order by n)
              where kept.quarters[cardinality(kept.quarters)] < excluded.quarters[1]
             union all
             -- If not, compute the usage of each bucket from the running totals of the row and of the new usage. Then merge the
             -- buckets, and compute new running totals.
             select array_agg(quarter order by quarter), array_agg(credits order by quarter), array_agg(charges order by quarter)
               from (select quarter, (sum(sum(credits)) over until_then)::bigint as credits, (sum(sum(charges)) over until_then)::bigint as charges
                       from (select quarter, credits - lag(credits, 1, 0::bigint) over (order by quarter) as credits,
                                    charges - lag(charges, 1, 0::bigint) over (order by quarter) as charges
                               from unnest(kept.quarters, kept.credits_charged, kept.charges) as had (quarter, credits, charges)
                             union all
                             select quarter, credits - lag(credits, 1, 0::bigint) over (order by quarter),
                                    charges - lag(charges, 1, 0::bigint) over (order by quarter)
                               from unnest(excluded.quarters, excluded.credits_charged, excluded.charges) as late (quarter, credits, charges)) as each
                      group by quarter
                     window until_then as (order by quarter)) as merged
             having kept.quarters[cardinality(kept.quarters)] >= excluded.quarters[1])
  $$;
