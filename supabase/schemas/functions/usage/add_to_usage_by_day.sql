-- Adds usage to its rows of usage_by_day. In-order usage is appended; late usage is inserted and raises the running totals that
-- follow.
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
                     -- The sums of all keys and of all operations have a null there.
                     group by user_id, cycle_start, quarter_hour, cube (api_key_id, operation)) as used
            window until_then as (partition by user_id, cycle_start, day, api_key_id, operation order by quarter)) as days
     group by user_id, cycle_start, day, api_key_id, operation
     -- Rows that are read together are written together.
     order by user_id, operation nulls first, api_key_id nulls first, day
    on conflict (user_id, operation, day, api_key_id, cycle_start) do update
       set credits_refunded = kept.credits_refunded + excluded.credits_refunded,
           (quarters, credits_charged, charges) = (
             -- In order: appended.
             select kept.quarters || excluded.quarters,
                    kept.credits_charged || array(select kept.credits_charged[cardinality(kept.quarters)] + more
                                                    from unnest(excluded.credits_charged) with ordinality as appended (more, n) order by n),
                    kept.charges || array(select kept.charges[cardinality(kept.quarters)] + more
                                            from unnest(excluded.charges) with ordinality as appended (more, n) order by n)
              where kept.quarters[cardinality(kept.quarters)] < excluded.quarters[1]
             union all
             -- Late: both are split into the usage of each bucket, merged, and summed again.
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
