-- Returns true if a member with the role `inviter`, or the operator, can invite somebody as `invited`.
create function keymeter.can_invite(inviter text, invited text) returns boolean
  language sql immutable parallel safe set search_path = ''
  as $$ select coalesce(inviter in ('owner', 'operator') or inviter = 'admin' and invited <> 'owner', false) $$;
