-- Returns the key of the advisory lock with which an edit of an account announces itself (keymeter.lock_account). It is a hash
-- of 64 bits. If two accounts ever have the same key, their edits run one after the other, and nothing else happens.
create function keymeter.edit_lock(account uuid) returns bigint
  language sql immutable parallel safe set search_path = ''
  as $$ select hashtextextended('keymeter.lock_account ' || account::text, 0) $$;
