-- The server's role: neither owner nor superuser, so row level security holds for it. The operator gives it a login
-- (`alter role keymeter_api login password '…'`). Its settings bound what one call may cost; on the role, so that they
-- hold behind a transaction-mode pooler too.
-- Roles belong to the cluster and outlive a database, hence the guard: whoever makes the role sets it up, and nobody
-- touches it again. Another database of the cluster may be making it at this moment, hence the exceptions.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'keymeter_api') then
    create role keymeter_api nologin;
    alter role keymeter_api set statement_timeout = '5s';
    alter role keymeter_api set lock_timeout = '3s';
    alter role keymeter_api set idle_in_transaction_session_timeout = '10s';
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema public to keymeter_api;

-- What the server may write is named column by column: it cannot raise its own credits, move a key to another account
-- or alter a usage event. Updating the cached cycle start is also what lets it lock an account's row.
grant select, insert (user_id), update (billing_cycle_start) on public.billing_accounts to keymeter_api;
grant select, insert (user_id, name, key_prefix, key_hash, key_type), update (revoked_at) on public.api_keys to keymeter_api;
grant select on public.api_key_usage to keymeter_api;

-- The server sees the rows of one account at a time: that of the call, set for its transaction as `app.user_id`.
-- Outside such a transaction the setting is absent or empty, and no row is visible.
create policy "The account of the call" on public.billing_accounts for all to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid))
  with check (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Keys of the account of the call" on public.api_keys for all to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid))
  with check (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
create policy "Usage of the account of the call" on public.api_key_usage for select to keymeter_api
  using (user_id = (select nullif(current_setting('app.user_id', true), '')::uuid));
