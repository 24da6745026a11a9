-- Returns the answers to a batch, in the order of its items. `left_out` contains the verdicts of the items that were left out
-- (keymeter.leave_out). Every other item without a verdict gets the verdict `not_found`.
create function keymeter.answers(items keymeter.metering_item[], credits bigint[], left_out text[]) returns table (
  verdict text, is_replayed boolean, sequence bigint, api_key_id uuid, key_type text,
  credits_requested bigint, credits_charged bigint, remaining bigint, credits_held bigint, cycle_end timestamptz, expires_at timestamptz
)
  language plpgsql immutable set search_path = ''
  as $$
#variable_conflict use_column
begin
  return query
    select coalesce(item.verdict, left_out[item.ordinality], 'not_found'), coalesce(item.is_replayed, false), item.sequence, item.api_key_id, item.key_type,
           coalesce(item.credits_requested, credits[item.ordinality]), coalesce(item.credits_charged, 0), item.remaining,
           item.credits_held, item.cycle_end, item.expires_at
      from unnest(items) with ordinality as item;
end
$$;
