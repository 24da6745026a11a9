-- Returns the id of the account whose rows the server may see in this transaction. The setting `app.user_id` contains the id.
-- Returns null if the transaction has not set it, so the server sees no rows.
create function keymeter.current_account() returns uuid
  language plpgsql stable parallel safe set search_path = ''
  as $$
begin
  return nullif(current_setting('app.user_id', true), '')::uuid;
end
$$;
