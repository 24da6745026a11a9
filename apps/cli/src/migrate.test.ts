import {
  compareSchemas,
  type DatabaseUrls,
  migrate as migrateWithSupabaseCli,
  withClient,
  withScratchCluster,
} from '@keymeter/local'
import { describe, expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'
import { readMigrations } from './migrations.ts'

const FILES = readMigrations().map(({ version, name }) => `${version}_${name}`)

async function keymeter(
  { owner }: DatabaseUrls,
  args: readonly string[],
  confirm: (question: string) => Promise<boolean> = async () => false,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return await runCommand(['migrate', ...args], { settings: { MIGRATION_DATABASE_URL: owner }, confirm })
}

/** Returns the migrations that the database has recorded, as the Supabase CLI reads them. */
async function recorded({ owner }: DatabaseUrls): Promise<string[]> {
  return await withClient(owner, async (client) => {
    const { rows: tables } = await client.query("select to_regclass('supabase_migrations.schema_migrations') as name")
    if (tables[0].name === null) return []
    const { rows } = await client.query('select version, name from supabase_migrations.schema_migrations order by version')
    return rows.map(({ version, name }) => `${version}_${name}`)
  })
}

describe('keymeter migrate', () => {
  it('`migrate` creates the same database as the Supabase CLI, and each of the two continues what the other began', async () => {
    await withScratchCluster(async (cluster) => {
      const [ours, theirs] = [await cluster.createProject('ours'), await cluster.createProject('theirs')]
      expect(await keymeter(ours, ['--yes'])).toMatchObject({
        code: 0,
        stdout: `All ${FILES.length} migrations are applied.\n`,
      })
      await migrateWithSupabaseCli(theirs.owner)
      expect(await compareSchemas({ name: 'ours', url: ours.owner }, { name: 'theirs', url: theirs.owner })).toEqual([])
      expect(await recorded(ours)).toEqual(FILES)
      expect(await recorded(theirs)).toEqual(FILES)

      await withClient(ours.owner, async (client) => {
        await client.query('alter table account_members drop constraint account_members_member_id_fkey')
        await client.query("delete from supabase_migrations.schema_migrations where name = 'reference_auth_users'")
      })
      await migrateWithSupabaseCli(ours.owner)
      expect(await recorded(ours)).toEqual(FILES)
      expect(await keymeter(theirs, ['--json'])).toMatchObject({ code: 0, stdout: '{"applied":[],"pending":[]}\n' })
    })
  })

  it('`migrate` changes nothing before the operator has confirmed, and names the database and the pending migrations', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('project')
      const list = await keymeter(urls, ['--dry-run'])
      expect(list).toMatchObject({
        code: 0,
        stdout: ['These migrations are pending:', ...FILES.map((file) => `  ${file}`), ''].join('\n'),
      })
      const questions: string[] = []
      const refused = await keymeter(urls, [], async (question) => {
        questions.push(question)
        return false
      })
      expect(refused).toMatchObject({ code: 2, stdout: '' })
      expect(refused.stderr).toMatch(/^Database: 127\.0\.0\.1:\d+\/project\nError: Nothing was changed\. .*--yes/)
      expect(questions).toEqual([expect.stringContaining(FILES.join('\n  '))])
      expect(await recorded(urls)).toEqual([])

      const confirmed = await keymeter(urls, ['--json'], async () => true)
      expect(JSON.parse(confirmed.stdout)).toEqual({ applied: FILES, pending: [] })
      expect(await recorded(urls)).toEqual(FILES)
    })
  })

  it('two concurrent runs apply each migration once', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('project')
      const runs = await Promise.all([1, 2].map(async () => await keymeter(urls, ['--yes', '--json'])))
      expect(runs.map(({ code, stderr }) => [code, stderr.split('\n').slice(1)])).toEqual([
        [0, ['']],
        [0, ['']],
      ])
      expect(runs.flatMap(({ stdout }) => JSON.parse(stdout).applied).toSorted()).toEqual(FILES)
      expect(await recorded(urls)).toEqual(FILES)
    })
  })

  it('a migration that fails leaves nothing behind, and the next run continues with it', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('project')
      const query = async (text: string) => await withClient(urls.owner, async (client) => (await client.query(text)).rows)
      // The second migration itself succeeds, but it cannot be recorded.
      await query(`
        create schema if not exists supabase_migrations;
        create table if not exists supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
        alter table supabase_migrations.schema_migrations add constraint not_the_second check (version <> '20260215000001');
      `)
      const failed = await keymeter(urls, ['--yes'])
      expect(failed).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Error: new row for relation') })
      expect(await recorded(urls)).toEqual(FILES.slice(0, 1))
      expect(await query("select to_regclass('api_keys')::text as keys, to_regclass('billing_accounts') as accounts")).toEqual([
        { keys: 'api_keys', accounts: null },
      ])
      await query('alter table supabase_migrations.schema_migrations drop constraint not_the_second')
      expect(await keymeter(urls, ['--yes'])).toMatchObject({ code: 0 })
      expect(await recorded(urls)).toEqual(FILES)
    })
  })

  it('`migrate` refuses a database that a newer release has migrated', async () => {
    await withScratchCluster(async (cluster) => {
      const urls = await cluster.createProject('project')
      await keymeter(urls, ['--yes'])
      await withClient(urls.owner, async (client) => {
        await client.query("insert into supabase_migrations.schema_migrations (version) values ('29990101000000')")
      })
      expect(await keymeter(urls, ['--yes'])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('Use the release that migrated the database.'),
      })
    })
  })
})
