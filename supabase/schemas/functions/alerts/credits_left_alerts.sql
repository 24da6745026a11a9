-- Returns the thresholds of credits left that apply to an account, in descending order. `chosen` are the thresholds that the
-- customer has set, or null. If the customer has set none, an account whose plan grants no credits gets thresholds, because
-- percentages of the plan do not apply to it.
create function keymeter.credits_left_alerts(chosen bigint[], credits_per_cycle bigint) returns bigint[]
  language sql immutable parallel safe set search_path = ''
  as $$ select coalesce(chosen, case when credits_per_cycle = 0 then '{100,0}'::bigint[] else '{}' end) $$;
