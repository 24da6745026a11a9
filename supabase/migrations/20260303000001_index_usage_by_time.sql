-- Serves the course of an account's usage over any range of time. Its columns never change, so a charge that adds to a
-- quarter of an hour writes no index entry.
create index api_key_quarter_hour_usage_time_idx on public.api_key_quarter_hour_usage (user_id, quarter_hour);
