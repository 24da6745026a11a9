-- Returns a verdict for each item of a batch whose account exists and is not in `locked`, and null for each other item. The
-- verdict is account_locked if an edit or another program has locked the account, and account_busy if another batch has locked
-- it.
--
-- Postgres does not show who has locked a row. A lock of another batch (no key update) lets this function take a key share
-- lock. The deletion of a user and `for update` do not.
create function keymeter.leave_out(user_ids uuid[], locked uuid[], waits_for text) returns text[]
  language plpgsql volatile set search_path = ''
  as $$
declare
  missing uuid[] := array(select user_id from public.billing_accounts where user_id = any(user_ids) and user_id <> all(locked));
  edited uuid[];
  busy uuid[] := '{}';
begin
  -- A batch that waits for other batches leaves out only accounts with edits.
  if waits_for = 'nobody' and cardinality(missing) > 0 then
    edited := keymeter.find_edited(missing);
    busy := array(select user_id from public.billing_accounts where user_id = any(missing) and user_id <> all(edited)
                     for key share skip locked);
  end if;
  return array(select case when user_id = any(busy) then 'account_busy' when user_id = any(missing) then 'account_locked' end
                 from unnest(user_ids) with ordinality as given (user_id, n) order by n);
end
$$;
