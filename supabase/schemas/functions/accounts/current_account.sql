-- The account whose rows the server may see in this transaction. Null outside of such a transaction: no row is visible.
create function keymeter.current_account() returns uuid
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.user_id', true), '')::uuid $$;
