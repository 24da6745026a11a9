import { execFile } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { requireProtection, UnprotectedDatabaseError } from '@keymeter/api/server'
import { charge, provisioned } from '@keymeter/api/testing'
import { createDb, PERMISSIONS_QUERY } from '@keymeter/db'
import { type DatabaseUrls, migrate, withClient, withScratchCluster } from '@keymeter/local'
import { afterAll, describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'

const dir = mkdtempSync(join(tmpdir(), 'keymeter-restore-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** The folder of a Postgres that has pg_dump, which the embedded Postgres lacks. Undefined if the machine has none. */
const WITH_PG_DUMP = globSync('/usr/lib/postgresql/*')
  .filter((folder) => ['pg_dump', 'pg_restore', 'initdb'].every((program) => existsSync(join(folder, 'bin', program))))
  .findLast((folder) => Number(folder.split('/').at(-1)) >= 15)

const query = async <T extends object>(url: string, text: string) =>
  await withClient(url, async (client) => (await client.query<T>(text)).rows)

async function keymeter(urls: DatabaseUrls, ...args: string[]): Promise<{ code: number; stdout: string }> {
  const { code, stdout } = await runCommand(args, { settings: { MIGRATION_DATABASE_URL: urls.owner } })
  return { code, stdout }
}

/** Returns the names of the checks that find a fault. */
async function faults(urls: DatabaseUrls): Promise<string[]> {
  const { stdout } = await keymeter(urls, 'doctor', '--json')
  const { findings } = JSON.parse(stdout) as { findings: { name: string; status: string }[] }
  return findings.filter(({ status }) => status === 'fault').map(({ name }) => name)
}

const letServerIn = async (urls: DatabaseUrls, statement: 'create role' | 'alter role') =>
  await query(urls.owner, `${statement} keymeter_api login password '${new URL(urls.api).password}'`)

/** Migrates the database, and creates an account with a charge. Returns the secret of the account's key. */
async function fill(urls: DatabaseUrls): Promise<string> {
  await migrate(urls.owner)
  await letServerIn(urls, 'alter role')
  const db = createDb(urls.api, () => {})
  const createUser = async () => {
    const [user] = await query<{ id: string }>(
      urls.owner,
      "insert into auth.users (id, email) values (gen_random_uuid(), 'a@example.com') returning id",
    )
    return user?.id ?? ''
  }
  const { defaultKey } = await provisioned({ db, createUser })
  expect(await charge({ db }, defaultKey.secret, 5)).toMatchObject({ verdict: 'charged', remaining: 995 })
  await db.destroy()
  return defaultKey.secret
}

/**
 * Changes the database into what a restore of its dump creates where the role `keymeter_api` does not exist: everything about
 * the role is lost, and with it the revokes from PUBLIC that the dump keeps together with its grants. The default privileges of
 * a Supabase project open every table that the restore creates.
 */
async function loseRole(urls: DatabaseUrls): Promise<void> {
  const functions = await query<{ name: string }>(
    urls.owner,
    "select oid::regprocedure::text as name from pg_proc where pronamespace = 'keymeter'::regnamespace and has_function_privilege('keymeter_api', oid, 'execute')",
  )
  await query(
    urls.superuser,
    `drop owned by keymeter_api; drop role keymeter_api;
     grant execute on function ${functions.map(({ name }) => name).join(', ')} to public;
     grant all on all tables in schema public to anon, authenticated, service_role`,
  )
}

/** Runs SQL as a role of Supabase's Data API. */
const asAnon = async (urls: DatabaseUrls, text: string) =>
  await query(urls.superuser, `set session authorization anon; ${text}`)

const GRANT = "select keymeter.grant_top_up(user_id, 1000000, 'x', null, row('x', null, null)) from public.billing_accounts"

/** Checks that the restored database is closed and unusable until `doctor --fix`, and complete and usable after it. */
async function repair(urls: DatabaseUrls, secret: string): Promise<void> {
  await expect(asAnon(urls, GRANT)).rejects.toThrow('permission denied for schema keymeter')
  await withClient(urls.api, async (client) => {
    await expect(requireProtection(async (text) => await client.query(text))).rejects.toThrow(UnprotectedDatabaseError)
  })

  const fixed = await keymeter(urls, 'doctor', '--fix')
  expect(fixed.stdout).not.toMatch(/^fault/m)
  expect(fixed.code).toBe(0)
  expect(await keymeter(urls, 'reconcile')).toMatchObject({ code: 0 })
  expect(await keymeter(urls, 'verify-audit')).toMatchObject({ code: 0 })
  await expect(asAnon(urls, 'select from public.api_keys')).rejects.toThrow('permission denied for table api_keys')
  const db = createDb(urls.api, () => {}, { verify: requireProtection })
  expect(await charge({ db }, secret, 5)).toMatchObject({ verdict: 'charged', remaining: 990 })
  await db.destroy()
}

const LOST = ['server role', 'rights of others', 'rows', 'rights of the server']

describe('a database that was restored where the server’s role did not exist', () => {
  it('the doctor reports the database, the server refuses it, and `doctor --fix` repairs it', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('restored')
      const secret = await fill(urls)
      await loseRole(urls)
      expect(await faults(urls)).toEqual(LOST)
      expect((await keymeter(urls, 'doctor', '--fix')).stdout).toContain("Repair: alter role keymeter_api login password '…'")
      expect(await faults(urls)).toEqual(['server role'])

      await loseRole(urls)
      await letServerIn(urls, 'create role')
      await repair(urls, secret)
    })
  })

  it('`doctor --fix` does not change the database if the repair fails', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('restored')
      await fill(urls)
      await loseRole(urls)
      await query(urls.owner, 'drop function keymeter.usage_totals')
      expect(await keymeter(urls, 'doctor', '--fix')).toMatchObject({ code: 2, stdout: '' })
      expect(await query(urls.owner, "select from pg_roles where rolname = 'keymeter_api'")).toEqual([])
      expect(await faults(urls)).toEqual(LOST)
    })
  })
})

describe.skipIf(WITH_PG_DUMP === undefined)('a dump of pg_dump', () => {
  const program = async (name: string, ...args: string[]) =>
    await promisify(execFile)(join(WITH_PG_DUMP ?? '', 'bin', name), args, { maxBuffer: 64 * 1024 * 1024 }).catch(
      (error: unknown) => {
        // pg_restore continues after an error, e.g. because the project already contains the schema `auth`.
        if (name !== 'pg_restore') throw error
      },
    )
  const permissions = async (urls: DatabaseUrls) => await query<{ object: string; fact: string }>(urls.owner, PERMISSIONS_QUERY)

  it('a dump can be restored into a new project, with and without the server’s role, if `doctor --fix` follows', async () => {
    const binaries = { binaries: WITH_PG_DUMP }
    await withScratchCluster(async (source) => {
      const original = await source.createProject('original')
      const secret = await fill(original)
      const dump = join(dir, 'dump')
      await program('pg_dump', '--format=custom', `--file=${dump}`, original.owner)
      await withScratchCluster(async (target) => {
        const without = await target.createProject('without_role')
        await program('pg_restore', `--dbname=${without.owner}`, dump)
        expect(await faults(without)).toEqual(LOST)
        // The tests above use `loseRole` in place of pg_dump. Its result is the same.
        await loseRole(original)
        expect(await permissions(without)).toEqual(await permissions(original))
        await letServerIn(without, 'create role')
        await repair(without, secret)

        const withRole = await target.createProject('with_role')
        await program('pg_restore', `--dbname=${withRole.owner}`, dump)
        // The default privileges of the project open every table that the restore creates.
        expect(await faults(withRole)).toEqual(['rights of others'])
        await repair(withRole, secret)
      }, binaries)
    }, binaries)
  })
})
