-- Returns the id of the member who makes the call. keymeter.enter_account has set it. Returns null if the call belongs to the
-- operator or to Keymeter itself.
create function keymeter.current_member() returns uuid
  language plpgsql stable parallel safe set search_path = ''
  as $$
begin
  return nullif(current_setting('app.member_id', true), '')::uuid;
end
$$;
