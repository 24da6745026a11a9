import pg from 'pg'
import { SUPERUSER } from './postgres.ts'
import type { Secrets } from './secrets.ts'

/** The roles that log in to the embedded Postgres. */
export interface DatabaseUrls {
  superuser: string
  /** Owns the database and runs the migrations. As on Supabase, no superuser. */
  owner: string
  /** Owns the schema `auth`, and may do nothing with our tables. The auth server's. */
  auth: string
  /** The server's own role. Can log in once `letServerIn` has run. */
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

/** Runs `work` on one connection. */
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
 * What Supabase's own image holds before any migration: the owner and the Data API's roles, and its default privileges,
 * which open every new table to those roles. So a migration that forgets to close a table is found out here too.
 * Safe to run again.
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

/** What belongs to a database, not to the cluster: Supabase's default privileges, and room for the schema `auth`. */
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

/** What an operator does once for a deployment: gives the server's role its login. */
export async function letServerIn({ owner }: DatabaseUrls, { apiPassword }: Secrets): Promise<void> {
  await withClient(owner, async (client) => {
    await client.query(`alter role keymeter_api login password ${client.escapeLiteral(apiPassword)}`)
  })
}
