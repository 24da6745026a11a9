-- The clock of every decision about accounts and keys: the database's clock, in milliseconds, which SQL and JavaScript share.
-- clock_timestamp() and not now(): a transaction reads the clock after it has the account's lock, so decisions on one account
-- are in the order of their times.
create function keymeter.now() returns timestamptz
  language sql volatile parallel safe set search_path = ''
  as $$ select date_trunc('milliseconds', clock_timestamp()) $$;
