import pg from 'pg'
import { SUPERUSER } from './postgres.ts'
import type { Secrets } from './secrets.ts'

/** The URLs of one database, one for each role that logs in. */
export interface DatabaseUrls {
  superuser: string
  /** The role that owns the database and runs the migrations. As on Supabase, it is not a superuser. */
  owner: string
  /** The role of the auth server. It owns the schema `auth` and has no rights on our tables. */
  auth: string
  /** The role of Keymeter's server. It can log in only after `letServerIn` has run. */
  api: string
}

export function databaseUrls(port: number, database: string, secrets: Secrets): DatabaseUrls {
  const url = (user: string, password: string) => `postgresql://${user}:${password}@127.0.0.1:${port}/${database}`
  return {
    superuser: url(SUPERUSER, secrets.superuserPassword),
    owner: url('postgres', secrets.ownerPassword),
    auth: url('supabase_auth_admin', secrets.authPassword),
    api: url('keymeter_api', secrets.apiPassword),
  }
}

/** Connects to the database, runs `work`, and closes the connection. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/**
 * Creates the roles that a Supabase project has before its first migration: the owner of the database, the role of the auth
 * server, and the roles of Supabase's Data API. A second call changes only the passwords.
 */
export async function createSupabaseRoles(
  { superuser }: DatabaseUrls,
  { ownerPassword, authPassword }: Secrets,
): Promise<void> {
  await withClient(superuser, async (client) => {
    await client.query(`
      do $$ begin
        if not exists (select from pg_roles where rolname = 'postgres') then
          create role anon nologin noinherit;
          create role authenticated nologin noinherit;
          create role service_role nologin noinherit bypassrls;
          create role supabase_auth_admin login noinherit createrole;
          create role postgres login createdb createrole replication bypassrls;
          grant anon, authenticated, service_role, supabase_auth_admin to postgres with admin option;
        end if;
      end $$;
      alter role postgres password ${client.escapeLiteral(ownerPassword)};
      alter role supabase_auth_admin password ${client.escapeLiteral(authPassword)};
      alter database postgres owner to postgres;
    `)
  })
}

/**
 * Grants the privileges that Supabase grants in each database. Supabase's default privileges open every new table to the roles
 * of its Data API. With the same default privileges here, a test can find a migration that does not revoke them.
 */
export async function grantSupabaseDefaults({ owner }: DatabaseUrls): Promise<void> {
  await withClient(owner, async (client) => {
    await client.query(`
      do $$ begin execute format('grant create on database %I to supabase_auth_admin', current_database()); end $$;
      grant usage on schema public to anon, authenticated, service_role;
      alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
      alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
      alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
    `)
  })
}

/** Lets the role of Keymeter's server log in with a password. In a deployment, the operator does this once. */
export async function letServerIn({ owner }: DatabaseUrls, { apiPassword }: Secrets): Promise<void> {
  await withClient(owner, async (client) => {
    await client.query(`alter role keymeter_api login password ${client.escapeLiteral(apiPassword)}`)
  })
}
