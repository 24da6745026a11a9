-- Creates the roles of a Supabase project, and the role of Keymeter's server. The Postgres image runs this file once, when it
-- creates the database. The passwords are environment variables of the container, so they are neither in this file nor in the log.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_DATABASE_PASSWORD
\getenv auth_password AUTH_DATABASE_PASSWORD
\getenv server_password SERVER_DATABASE_PASSWORD
set log_statement = 'none';
set log_min_error_statement = 'panic';

-- The roles of Supabase's Data API. Nobody logs in with them here, but the migrations take all rights from them.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;

-- The role of Supabase Auth. It creates the tables of its schema itself.
create role supabase_auth_admin login noinherit createrole password :'auth_password';
create schema auth authorization supabase_auth_admin;
alter role supabase_auth_admin set search_path = auth;
grant create on database postgres to supabase_auth_admin;

-- The owner of the database runs the migrations and the CLI. As on Supabase, it is not a superuser.
create role postgres login createdb createrole replication bypassrls password :'owner_password';
grant anon, authenticated, service_role, supabase_auth_admin to postgres with admin option;
alter database postgres owner to postgres;

-- The role of Keymeter's server. The first migration gives it its timeouts, and the baseline its rights.
create role keymeter_api login password :'server_password';
grant keymeter_api to postgres with admin option;
