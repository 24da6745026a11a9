-- The state of keymeter.meter_batch: an item, an account, what one step returns, and what the lookup knows about an item.

create type keymeter.metering_item as (
  -- The request.
  "position" int,
  action text,
  user_id uuid,
  key_hash bytea,
  refers_to bigint,
  credits_requested bigint,
  idempotency_key text,
  operation text,
  lifetime int,
  -- The answer. An item with a sequence becomes a usage event, unless it is a replay.
  verdict text,
  is_replayed boolean,
  sequence bigint,
  api_key_id uuid,
  key_type text,
  credits_charged bigint,
  remaining bigint,
  cycle_end timestamptz,
  expires_at timestamptz,
  -- What it adds to the roll-ups of the cycle cycle_start, if is_counted.
  is_counted boolean,
  credits_held bigint,
  moment timestamptz,
  cycle_start timestamptz,
  counted_at timestamptz
);

-- An account, as the items decided so far have left it.
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
  -- The highest credits_used after a charge of this batch: decides on alerts.
  peak_usage bigint,
  -- Null: not counted yet, because the batch has made no hold.
  open_holds int,
  -- The keys with a credit limit that the batch has met, and what each can still use. Negative after a limit was lowered.
  limited_keys uuid[],
  limited_left bigint[]
);

create type keymeter.metering_step as (item keymeter.metering_item, account keymeter.metering_account);

create type keymeter.metering_lookup as (
  -- The item before its decision, and its account before the batch.
  item keymeter.metering_item,
  account keymeter.metering_account,
  -- Why the key must not be charged. Null: it may be.
  refusal text,
  credit_limit bigint,
  is_known_operation boolean,
  is_last_use_stale boolean,
  -- The item of an earlier request with the same idempotency key.
  original keymeter.metering_item,
  is_replay boolean,
  is_same_request boolean,
  usage_by_day_until timestamptz,
  -- The usage at which the first alert fires, in hundredths of a credit.
  alert_from bigint
);
