-- Ends secrets of a key of the account of the call (keymeter.current_account), at `until` (exclusive). If `is_current` is true,
-- the current secret of the key becomes a previous secret, which works until then. If it is false, all previous secrets that
-- would work for longer end then.
--
-- The server's role can change valid_until only through this function. The function never makes a secret work for longer: an
-- ended secret stays ended, and a previous secret works at most for keymeter.max_grace().
create function keymeter.end_secret(key_id uuid, is_current boolean, until timestamptz) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
begin
  if until is null or until > keymeter.now() + keymeter.max_grace() then
    raise exception 'end_secret: a previous secret works for at most %', keymeter.max_grace() using errcode = '22023';
  end if;
  if not keymeter.may_change_secrets(key_id) then
    raise exception 'end_secret: this call cannot change the key' using errcode = '42501';
  end if;
  update public.api_key_secrets as secrets set valid_until = until
   where secrets.user_id = keymeter.current_account() and secrets.api_key_id = key_id
     and case when is_current then secrets.valid_until is null else secrets.valid_until > until end;
end
$$;
