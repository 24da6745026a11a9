-- Returns true if the account of the call has this key, and the call may change it (keymeter.may_change_key).
create function keymeter.may_change_secrets(key_id uuid) returns boolean
  language sql stable parallel safe security definer set search_path = ''
  as $$
    select exists (select from public.api_keys as keys
                    where keys.user_id = keymeter.current_account() and keys.id = key_id
                      and keymeter.may_change_key(keys.created_by, keys.is_service))
  $$;
