-- Adds an entry to the operator's log: the operator reads the data of a customer. The caller reads in the same transaction, and
-- shows the result only after the commit. So nobody sees data without an entry.
create function keymeter.record_operator_read(command text, account uuid, search text, os_user text, request_id text) returns void
  language sql volatile set search_path = ''
  as $$
    insert into public.operator_log (created_at, request_id, command, user_id, search, os_user, database_user)
      values (keymeter.now(), request_id, command, account, search, os_user, session_user)
  $$;
