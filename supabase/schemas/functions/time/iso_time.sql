-- Returns a time as ISO-8601 text in UTC, with milliseconds, like `toISOString` of JavaScript.
create function keymeter.iso_time(moment timestamptz) returns text
  language sql stable parallel safe set search_path = ''
  as $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;
