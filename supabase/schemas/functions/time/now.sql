-- Returns the current time for all decisions about accounts and keys. It is the clock of the database, in milliseconds, because
-- JavaScript cannot represent microseconds. Tests replace this function.
--
-- It uses clock_timestamp(), because now() returns the time at which the transaction began. A transaction reads the clock after
-- it has locked an account. So later decisions about the account have later times.
create function keymeter.now() returns timestamptz
  language sql volatile parallel safe set search_path = ''
  as $$ select date_trunc('milliseconds', clock_timestamp()) $$;
