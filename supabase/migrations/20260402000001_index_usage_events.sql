-- How the list of usage events finds its way, beside the primary key. An index for each filter would cost every charge 6 to
-- 23 % (docs/decisions/0012-finding-usage-events.md); of these two a plain charge writes to neither, but for every thousandth.
-- And no charge can be planned to go by them, since it does not say what they are of.

-- Serves the way from a moment to a sequence.
create index api_key_usage_milestone_idx on public.api_key_usage (user_id, created_at, sequence) where sequence % 1000 = 0;
-- Serves the events that the roll-ups do not tell of: refusals, and whatever is no charge.
create index api_key_usage_uncounted_idx on public.api_key_usage (user_id, sequence) where verdict <> 'charged' or action <> 'charge';
