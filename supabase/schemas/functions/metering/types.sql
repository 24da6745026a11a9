-- The types of the variables of keymeter.meter_batch.

create type keymeter.metering_item as (
  -- These fields are the request.
  "position" int,
  action text,
  user_id uuid,
  key_hash bytea,
  refers_to bigint,
  credits_requested bigint,
  idempotency_key text,
  operation text,
  lifetime int,
  -- These fields are the answer. An item with a sequence is stored as a usage event, unless it is a replay.
  verdict text,
  is_replayed boolean,
  sequence bigint,
  api_key_id uuid,
  key_type text,
  credits_charged bigint,
  remaining bigint,
  -- Set only if the verdict is insufficient_credits or key_limit_exceeded: the credits of the open holds at the decision.
  credits_held bigint,
  cycle_end timestamptz,
  expires_at timestamptz,
  -- These fields are used for the roll-ups. If is_counted is true, the item is added to the cycle that starts at cycle_start.
  is_counted boolean,
  -- The change of the held credits of the key and of the cycle.
  held_change bigint,
  moment timestamptz,
  cycle_start timestamptz,
  counted_at timestamptz
);

-- The state of an account after the items that were decided so far.
create type keymeter.metering_account as (
  user_id uuid,
  moment timestamptz,
  cycle_start timestamptz,
  credits_granted bigint,
  credits_used bigint,
  credits_held bigint,
  top_up_balance bigint,
  topped_up_this_cycle bigint,
  holds_expire_at timestamptz,
  last_event_sequence bigint,
  last_ledger_sequence bigint,
  -- These four fields are for keymeter.record_alerts. Here, "left" means granted + top-ups - used: held credits are left, because
  -- a hold can be given back. The first two are null if no item reached the next threshold of the account. peak_usage is the
  -- highest credits_used after a charge. lowest_left is what was left at least after a charge, a settle or a refusal. is_short is
  -- true if a refused item asked for more than was left.
  peak_usage bigint,
  lowest_left bigint,
  is_short boolean,
  -- True if an item of the batch began another alert period. Then the next thresholds in metering_lookup are outdated.
  has_new_period boolean,
  -- The number of open holds. It is null until the first hold of the batch, because only holds need it.
  open_holds int,
  -- The keys of the batch that have a credit limit, and the credits that each of them can still use. This number is negative if
  -- the limit was set below the usage of the key.
  limited_keys uuid[],
  limited_left bigint[],
  -- The credits that the open holds of each of these keys hold in the current cycle.
  limited_held bigint[]
);

-- The result of each function that decides an item: the decided item, and the account after the decision.
create type keymeter.metering_step as (item keymeter.metering_item, account keymeter.metering_account);

-- The result of keymeter.look_up_items for one item.
create type keymeter.metering_lookup as (
  -- The item before its decision, and the state of its account before the batch.
  item keymeter.metering_item,
  account keymeter.metering_account,
  -- The verdict if the key or the account cannot be charged, e.g. `revoked`. Null means that it can be charged.
  refusal text,
  credit_limit bigint,
  is_known_operation boolean,
  is_last_use_stale boolean,
  -- The stored event of an earlier request with the same idempotency key, as an item.
  original keymeter.metering_item,
  is_replay boolean,
  is_same_request boolean,
  usage_by_day_until timestamptz,
  -- The usage, in hundredths of a credit, and the credits left at which the account reaches its next threshold. Null means that
  -- it has none.
  alert_from_usage bigint,
  alert_from_left bigint,
  alerts_at_refusal boolean
);
