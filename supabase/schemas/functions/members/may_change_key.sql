-- Returns true if the call may change this key of the account of the call: owners, admins and the operator change every key, and a
-- developer only the keys that they created and that belong to a person.
create function keymeter.may_change_key(created_by uuid, is_service boolean) returns boolean
  language sql stable parallel safe set search_path = ''
  as $$
    select case keymeter.role_of_call()
             when 'developer' then not is_service and created_by = keymeter.current_member()
             when 'viewer' then false
             else keymeter.role_of_call() is not null end
  $$;
