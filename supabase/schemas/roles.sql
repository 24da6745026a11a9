-- The role of the server, and the schema of its functions.
--
-- The server logs in as `keymeter_api`. This role is neither an owner nor a superuser, so row level security applies to it. The
-- operator allows the login: `alter role keymeter_api login password '…'`. The role's timeouts limit the cost of one call. They
-- are settings of the role, so they also apply behind a connection pooler in transaction mode.
--
-- Roles belong to the whole Postgres cluster. A migration of another database in the same cluster may have created this role
-- already, or may create it concurrently. So it is not an error if the role exists.
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

-- PUBLIC has no USAGE on a new schema. So nobody else can call the functions of this schema, even if a restore of the database
-- loses the revokes of permissions.sql.
create schema keymeter;
comment on schema keymeter is 'The functions and types of Keymeter. The tables of Keymeter are in the schema public.';
