-- Creates an account with the plan `free`, if it does not exist, and locks its row. `member` becomes its first owner. Then decides
-- about the free credits, if nothing is decided yet. An account gets the credits that the plan `free` has now, in its first cycle and in all
-- later cycles, if `refusal` is null and no other account has got free credits for the mailbox.
--
-- Without free credits, the account has 0 credits per cycle, and free_credits_refusal contains the reason. `not_confirmed` is
-- preliminary: a later call decides again. The function also writes the entry of the audit log, so credits never appear without
-- an entry. `origin` describes the call that grants them. A null as `mailbox_hash` means that the caller does not know a confirmed address.
create function keymeter.create_account(
  account uuid, member uuid, email text, mailbox_hash bytea, refusal text, origin keymeter.call_origin
) returns void
  language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
  as $$
declare
  current record;
  is_new boolean;
  v_credits bigint;
begin
  -- A concurrent call for the same account waits in this statement or in the next one, and then finds the decision.
  insert into public.billing_accounts (user_id, credits_per_cycle, free_credits_refusal) values (account, 0, 'not_confirmed')
    on conflict do nothing;
  is_new := found;
  if is_new then
    -- The foreign key refuses a member that is not a user.
    insert into public.account_members (user_id, member_id, role, email)
    values (account, create_account.member, 'owner', create_account.email);
  end if;
  perform keymeter.lock_account(account);
  select accounts.plan, accounts.next_plan, accounts.free_credits_refusal into current
    from public.billing_accounts as accounts where accounts.user_id = account;
  if current.free_credits_refusal is distinct from 'not_confirmed' then
    return;
  end if;
  if create_account.refusal is null and create_account.mailbox_hash is not null then
    select plans.credits_per_cycle into strict v_credits from public.plans as plans where plans.plan = 'free';
    -- The operator may have changed the account since. Then the operator's plan applies, and the mailbox keeps its allowance.
    if current.plan <> 'free' or current.next_plan is not null or not keymeter.may_add_credits(account, v_credits) then
      return;
    end if;
    -- Two accounts of one mailbox: the second one waits until the transaction of the first one has ended. No call locks another
    -- account after a mailbox, so this cannot deadlock.
    insert into public.mailbox_allowances (mailbox_hash) values (create_account.mailbox_hash) on conflict do nothing;
    if found then
      -- An account that already exists may have ended cycles. They keep their 0 credits.
      if not is_new then
        perform keymeter.advance_accounts(array[account], keymeter.now());
      end if;
      update public.billing_accounts set credits_per_cycle = v_credits, free_credits_refusal = null where user_id = account;
      perform keymeter.begin_alert_period(account, true);
      perform keymeter.append_audit_entry(account, 'system', null, 'account.free_credits_granted', null,
        json_build_object('credits', v_credits), origin, keymeter.now());
    else
      update public.billing_accounts set free_credits_refusal = 'mailbox_used' where user_id = account;
    end if;
  elsif create_account.refusal <> 'not_confirmed' then
    update public.billing_accounts set free_credits_refusal = create_account.refusal where user_id = account;
  end if;
end
$$;
