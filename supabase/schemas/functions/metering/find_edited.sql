-- Returns the accounts that an edit has locked, or whose lock an edit waits for. Edits announce themselves with an advisory lock
-- (keymeter.lock_account). The function tries these locks, waits for none of them, and keeps none of them.
create function keymeter.find_edited(accounts uuid[]) returns uuid[]
  language plpgsql volatile set search_path = ''
  as $$
declare
  edited uuid[];
begin
  begin
    edited := array(select account from (select distinct unnest(accounts)) as batch (account)
                     where not pg_try_advisory_xact_lock_shared(keymeter.edit_lock(account)));
    -- The rollback of this block releases the locks. A batch can contain hundreds of accounts, and the memory of Postgres for
    -- locks is limited.
    raise exception sqlstate 'KM001';
  exception when sqlstate 'KM001' then
    null;
  end;
  return edited;
end
$$;
