-- The role of the server, and the schema of its functions.
--
-- `keymeter_api` is neither an owner nor a superuser, so row level security applies to it. The operator gives it a login:
-- `alter role keymeter_api login password '…'`. Its settings limit the cost of one call. They belong to the role, so they also
-- apply behind a connection pooler in transaction mode.
--
-- A role belongs to the cluster and outlives a database: another database of the cluster may have created it, or may be
-- creating it at this moment.
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

-- PUBLIC has no USAGE on a new schema. If a restore loses the REVOKEs of permissions.sql, nobody can call these functions.
create schema keymeter;
comment on schema keymeter is 'The functions and types of Keymeter. Its tables are in public.';
