-- Begins a call of `member` on `account`: the rest of the transaction can see and change only this account, with the rights of this
-- member. A null as `member` means that the call belongs to the operator or to Keymeter itself. The settings end with the
-- transaction, so a pooled connection never keeps them.
--
-- Returns the role of the member, and what else the server must know before the call. The role is null if the member has none.
-- `has_account` is false if the account does not exist. `is_first_visit` is true if the account would be the first one of the member:
-- only then may a call open it without being asked to. A person who is or was a member of another account gets an account by
-- `accounts.open`, which needs a recent sign-in. Otherwise a thief with an old session could open one, and get a secret.
create function keymeter.enter_account(
  account uuid, member uuid, out role text, out has_account boolean, out needs_second_factor boolean, out is_first_visit boolean
)
  language plpgsql volatile security definer set search_path = ''
  as $$
begin
  perform set_config('app.user_id', coalesce(account::text, ''), true), set_config('app.member_id', coalesce(member::text, ''), true);
  select true, accounts.requires_second_factor into has_account, needs_second_factor
    from public.billing_accounts as accounts where accounts.user_id = account;
  has_account := coalesce(has_account, false);
  needs_second_factor := coalesce(needs_second_factor, false);
  is_first_visit := not has_account and account = member and not keymeter.has_been_member();
  role := keymeter.role_of_call();
end
$$;
