-- Looks at every event, while charges go on.
alter table public.api_key_usage validate constraint api_key_usage_credits_charged_is_safe;
