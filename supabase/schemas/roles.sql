-- The role of the server, and the schema of its functions. This file can be applied again (permissions.sql explains why).
--
-- The server logs in as `keymeter_api`. This role is neither an owner nor a superuser, so row level security applies to it. The
-- operator allows the login: `alter role keymeter_api login password '…'`. The role's timeouts limit the cost of one call. They
-- are settings of the role, so they also apply behind a connection pooler in transaction mode.
--
-- Roles belong to the whole Postgres cluster. A migration of another database in the same cluster may have created this role
-- already, or may create it concurrently. So it is not an error if the role exists.
do $$
declare
  setting text;
  value text;
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'keymeter_api') then
    create role keymeter_api nologin;
  end if;
  -- If somebody has created the role by hand, e.g. before a restore, its timeouts are missing.
  for setting, value in
    select * from (values ('statement_timeout', '5s'), ('lock_timeout', '3s'), ('idle_in_transaction_session_timeout', '10s')) as timeouts (name, length)
     where not exists (select from pg_catalog.pg_roles cross join unnest(rolconfig) as config
                        where rolname = 'keymeter_api' and config like timeouts.name || '=%')
  loop
    execute format('alter role keymeter_api set %I = %L', setting, value);
  end loop;
exception
  when duplicate_object or unique_violation then null;
end
$$;

-- PUBLIC has no USAGE on a new schema. So nobody else can call the functions of this schema, even if a restore of the database
-- loses the revokes of permissions.sql. (`alter default privileges in schema keymeter revoke execute …` would not help: default
-- privileges of a schema can only add rights.)
create schema if not exists keymeter;
comment on schema keymeter is 'The functions and types of Keymeter. The tables of Keymeter are in the schema public.';
