-- All grants, revokes and policies of the schema. There is one exception: keymeter.make_usage_partition revokes all rights on
-- the partitions that it creates.
--
-- The server logs in as `keymeter_api`. This role can write only the columns that this file lists. So the server cannot add
-- credits, move a key to another account, or change a usage event or an audit entry. The functions that are listed under
-- "Functions that write" make such changes with the rights of their owner.
--
-- This file can be applied again. If a dump is restored where the role `keymeter_api` does not exist, all statements about this
-- role fail, and its policies and rights are missing. `keymeter doctor --fix` applies roles.sql and this file again.

-- Supabase grants every new table in `public` to the roles of its Data API. Revoke these grants: clients get data only from
-- Keymeter's server.
revoke all on
  public.plans, public.billing_accounts, public.billing_cycles,
  public.api_keys, public.api_key_secrets,
  public.api_key_usage, public.api_key_usage_default, public.operations,
  public.usage_by_cycle, public.usage_by_quarter_hour, public.usage_by_day, public.usage_retention,
  public.credit_holds, public.ledger_entries, public.alerts,
  public.audit_log,
  public.account_members, public.account_invitations,
  public.rate_limits, public.mailbox_allowances,
  public.operator_log
from public, anon, authenticated, service_role, keymeter_api;
do $$
declare
  partition regclass;
begin
  for partition in select inhrelid::regclass from pg_inherits where inhparent = 'public.api_key_usage'::regclass loop
    execute format('alter table %s enable row level security', partition);
    execute format('revoke all on %s from public, anon, authenticated, service_role, keymeter_api', partition);
  end loop;
end
$$;
-- Postgres lets every role execute a new function. Without USAGE on the schema `keymeter`, no role can call it. The revoke of
-- the functions is a second protection.
revoke all on schema keymeter from public, anon, authenticated, service_role, keymeter_api;
revoke all on all functions in schema keymeter from public, anon, authenticated, service_role, keymeter_api;

grant usage on schema public, keymeter to keymeter_api;

grant select on
  public.plans, public.billing_accounts, public.billing_cycles,
  public.api_keys, public.api_key_secrets,
  public.api_key_usage, public.operations,
  public.usage_by_cycle, public.usage_by_quarter_hour, public.usage_by_day, public.usage_retention,
  public.credit_holds, public.ledger_entries, public.alerts,
  public.audit_log, public.account_members
to keymeter_api;
-- The server reads everything of an invitation but the hash of its token.
grant select (user_id, id, email, role, invited_by, created_at, expires_at, revoked_at, accepted_at, accepted_by)
  on public.account_invitations to keymeter_api;

-- The server must lock accounts. Postgres lets a role lock a row only if the role may update at least one column of the table.
-- The columns next_alert… only decide when a charge reads the thresholds. A wrong value can hide alerts, as can other thresholds.
grant update (alert_thresholds, alert_credits_left, next_alert_percent, next_alert_credits_left, next_alert_at_refusal)
  on public.billing_accounts to keymeter_api;
grant insert (user_id, name, key_type, created_at, expires_at, credit_limit, created_by, is_service),
      update (name, expires_at, credit_limit, disabled_at, revoked_at) on public.api_keys to keymeter_api;
grant insert (user_id, key_hash, api_key_id, key_prefix, idempotency_key, request_hash, created_at), update (saved_at) on public.api_key_secrets to keymeter_api;
-- The counters of the rate limits. Nobody but the server writes them. The server can also reset them, because it needs no limits for
-- itself. It has no right on mailbox_allowances: keymeter.create_account writes that table.
grant select, insert, update, delete on public.rate_limits to keymeter_api;

-- Functions that read. Postgres requires the right to execute a function even if Postgres inlines it.
grant execute on function
  keymeter.now(), keymeter.account_time(timestamptz, timestamptz, timestamptz),
  keymeter.cycle_boundary(timestamptz, int),
  keymeter.cycle_index(timestamptz, timestamptz), keymeter.cycle_end(timestamptz, timestamptz),
  keymeter.max_credits(), keymeter.max_operations(), keymeter.max_open_holds(), keymeter.idempotency_window(),
  keymeter.current_account(), keymeter.current_member(), keymeter.role_of_call(), keymeter.may_change_key(uuid, boolean), keymeter.may_change_secrets(uuid),
  keymeter.max_members(), keymeter.find_invitation(bytea), keymeter.is_invited(text), keymeter.accounts_of_member(), keymeter.has_opened_account(), keymeter.has_been_member(),
  keymeter.has_closed_account(uuid), keymeter.deletion_of_member(),
  keymeter.account_cycles(uuid, timestamptz), keymeter.credits_left_alerts(bigint[], bigint),
  keymeter.usage_totals(uuid, timestamptz, timestamptz, timestamptz, text, uuid[], text[]),
  keymeter.edit_lock(uuid), keymeter.lock_account(uuid), keymeter.missing_usage_partitions(int)
to keymeter_api;
-- Functions that write. They run with the rights of their owner.
grant execute on function
  keymeter.enter_account(uuid, uuid), keymeter.lock_for_call(uuid),
  keymeter.create_account(uuid, uuid, text, bytea, text, keymeter.call_origin),
  keymeter.set_member_role(uuid, text, keymeter.call_origin), keymeter.invite_member(bytea, text, text, keymeter.call_origin),
  keymeter.revoke_invitation(uuid, keymeter.call_origin), keymeter.accept_invitation(bytea, uuid, text, keymeter.call_origin),
  keymeter.note_member_email(text), keymeter.set_account_name(text, keymeter.call_origin),
  keymeter.require_second_factor(boolean, keymeter.call_origin), keymeter.close_account(keymeter.call_origin),
  keymeter.meter_batch(uuid, text[], uuid[], bytea[], bigint[], bigint[], text[], text[], int[], text),
  keymeter.end_secret(uuid, boolean, timestamptz), keymeter.record_audit(text, uuid, json, keymeter.call_origin),
  keymeter.grant_top_up(uuid, bigint, text, text, keymeter.call_origin), keymeter.change_plan(uuid, text, keymeter.call_origin),
  keymeter.set_suspended(uuid, boolean, keymeter.call_origin),
  keymeter.take_back_top_up(uuid, text, bigint, text, text, keymeter.call_origin),
  keymeter.make_usage_partition(timestamptz)
to keymeter_api;

-- In each transaction, the server sees the rows of one account only, and only if the member of the call is a member of it. A member
-- can change only what the role allows. Keep the sub-select: Postgres evaluates it once for each
-- query, and would otherwise evaluate the function for each row.
do $$
declare
  old record;
begin
  for old in select tablename, policyname from pg_catalog.pg_policies where schemaname = 'public' and 'keymeter_api' = any(roles) loop
    execute format('drop policy %I on public.%I', old.policyname, old.tablename);
  end loop;
end
$$;
create policy "The account of the call" on public.billing_accounts for select to keymeter_api using (user_id = (select keymeter.current_account()));
-- Postgres also uses the first condition when the server locks an account, which developers may do.
create policy "The account of the call, if the role can change it" on public.billing_accounts for update to keymeter_api
  using (user_id = (select keymeter.current_account()))
  with check (user_id = (select keymeter.current_account()) and (select keymeter.role_of_call()) in ('owner', 'admin', 'operator'));
create policy "The account of the call" on public.account_members for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.account_invitations for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.api_keys for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "New keys of the account of the call" on public.api_keys for insert to keymeter_api
  with check (user_id = (select keymeter.current_account()) and created_by is not distinct from (select keymeter.current_member())
              and keymeter.may_change_key(created_by, is_service));
-- A revoke is final: a revoked key is not visible to an update. The time of a revoke is the time of the call, so a revoke
-- cannot be planned for later. The range allows for the time between the read of the clock and the update.
create policy "Keys of the account of the call that are not revoked" on public.api_keys for update to keymeter_api
  using (user_id = (select keymeter.current_account()) and revoked_at is null and keymeter.may_change_key(created_by, is_service))
  with check (user_id = (select keymeter.current_account())
              and (revoked_at is null or revoked_at between keymeter.now() - interval '1 minute' and keymeter.now()));
create policy "The account of the call" on public.api_key_secrets for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "New secrets of keys that the call can change" on public.api_key_secrets for insert to keymeter_api
  with check (user_id = (select keymeter.current_account()) and keymeter.may_change_secrets(api_key_id));
create policy "Secrets of keys that the call can change" on public.api_key_secrets for update to keymeter_api
  using (user_id = (select keymeter.current_account()) and keymeter.may_change_secrets(api_key_id))
  with check (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.audit_log for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.billing_cycles for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.api_key_usage for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.operations for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.usage_by_cycle for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.usage_by_quarter_hour for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.usage_by_day for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.usage_retention for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.credit_holds for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.ledger_entries for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "The account of the call" on public.alerts for select to keymeter_api using (user_id = (select keymeter.current_account()));
create policy "Counters belong to no account" on public.rate_limits for all to keymeter_api using (true) with check (true);
create policy "Plans belong to no account" on public.plans for select to keymeter_api using (true);

-- This call creates the partitions for this month and the months around it. It must come after the grants.
select keymeter.make_usage_partitions();
