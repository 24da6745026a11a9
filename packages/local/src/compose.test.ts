import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { parse as parseToml } from 'smol-toml'
import { expect, inject, it } from 'vitest'
import { parse } from 'yaml'
import { databaseUrls, withClient } from './database.ts'
import { REPOSITORY } from './migrate.ts'
import { freePort } from './ports.ts'
import { startPostgres } from './postgres.ts'

const read = (file: string) => readFileSync(join(REPOSITORY, file), 'utf8')
const compose = read('compose.yaml')
const example = read('.env.example')
const unique = (matches: Iterable<RegExpMatchArray>) => [...new Set([...matches].map(([, name]) => name ?? ''))].sort()

/** These settings have no use in containers, or compose.yaml sets what they would change. */
const NOT_IN_COMPOSE = [
  'DATABASE_DIRECT_URL',
  'HOST',
  'KEYMETER_LOCAL_DIR',
  'PORT',
  'POSTGRES_PORT',
  'SUPABASE_PORT',
  'SUPABASE_SECRET_KEY',
]

it('compose.yaml passes on every setting of .env.example, and .env.example describes every variable of compose.yaml', () => {
  const settings = unique(example.matchAll(/^(?:# )?([A-Z_]+)=/gm))
  const missing = settings.filter((name) => !new RegExp(`^      ${name}:|\\$\\{${name}\\b|^  ${name}:`, 'm').test(compose))
  expect(missing.filter((name) => name !== 'COMPOSE_PROFILES')).toEqual(NOT_IN_COMPOSE)
  const variables = unique(compose.matchAll(/\$\{([A-Z_]+)/g))
  expect(variables.length).toBeGreaterThan(10)
  expect(variables.filter((name) => !settings.includes(name))).toEqual([])
})

it('the server and the CLI get every setting that they read', () => {
  const sources = globSync('apps/cli/src/**/*.ts', { cwd: REPOSITORY, exclude: ['**/*.test.ts'] }).map(read)
  const reads = {
    server: unique(read('apps/server/src/env.ts').matchAll(/^ {4}([A-Z_]+): (?:blankIsUnset|limit)\(/gm)),
    cli: unique(sources.join('\n').matchAll(/readSetting\('([A-Z_]+)'\)/g)),
  }
  const { services } = parse(compose, { merge: true }) as Record<'services', Record<string, { environment: object }>>
  for (const [service, settings] of Object.entries(reads)) {
    expect(settings.length).toBeGreaterThan(5)
    const given = Object.keys(services[service]?.environment ?? {})
    const missing = settings.filter((name) => !given.includes(name) && !NOT_IN_COMPOSE.includes(name))
    expect([service, missing]).toEqual([service, []])
  }
})

it('Supabase Auth has the same subjects and templates in compose.yaml as in a project that the Supabase CLI configures', () => {
  const { auth } = parseToml(read('supabase/config.toml')) as {
    auth: { email: { template: Record<string, { subject: string; content_path: string }> } }
  }
  const { services } = parse(compose) as { services: { auth: { environment: Record<string, string> } } }
  const given = Object.entries(services.auth.environment).filter(([name]) => /_MAILER_(SUBJECTS|TEMPLATES)_/.test(name))
  const expected = Object.entries(auth.email.template).flatMap(([name, { subject, content_path }]) => [
    [`GOTRUE_MAILER_SUBJECTS_${name.toUpperCase()}`, subject],
    [`GOTRUE_MAILER_TEMPLATES_${name.toUpperCase()}`, `http://mail-templates:8080/${basename(content_path)}`],
  ])
  expect(Object.fromEntries(given)).toEqual(Object.fromEntries(expected))
  for (const { content_path } of Object.values(auth.email.template))
    expect(read(content_path.replace('./', ''))).toContain('{{ .TokenHash }}')
})

/** The attributes and the memberships of the roles of the project. The password is only compared with null. */
const ROLES = `
  select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
         (select rolpassword is not null from pg_authid where pg_authid.oid = pg_roles.oid) as "hasPassword",
         array(select roleid::regrole || case when admin_option then ' with admin option' else '' end from pg_auth_members
                where member = pg_roles.oid order by 1) as "isMemberOf"
    from pg_roles where rolname !~ '^pg_' order by rolname`

it.skipIf(spawnSync('psql', ['--version']).error !== undefined)(
  'the roles of compose.yaml have the same rights as those of the embedded stack, and no password is in the log of Postgres',
  async () => {
    const { port, secrets } = inject('cluster')
    const dir = mkdtempSync(join(tmpdir(), 'keymeter-compose-'))
    chmodSync(dir, 0o711)
    const own = await freePort()
    const logFile = join(dir, 'postgres.log')
    const { superuserPassword } = secrets
    const postgres = await startPostgres({
      dataDir: join(dir, 'postgres'),
      logFile,
      port: own,
      superuserPassword,
      report: () => {},
    })
    try {
      const urls = databaseUrls(own, 'postgres', secrets)
      await withClient(urls.superuser, async (client) => await client.query("alter system set log_statement = 'all'"))
      await withClient(urls.superuser, async (client) => await client.query('select pg_reload_conf()'))
      const passwords = {
        OWNER_DATABASE_PASSWORD: secrets.ownerPassword,
        AUTH_DATABASE_PASSWORD: secrets.authPassword,
        SERVER_DATABASE_PASSWORD: secrets.apiPassword,
      }
      const args = ['--no-psqlrc', '--quiet', '--file', join(REPOSITORY, 'deploy/create-roles.sql'), urls.superuser]
      await promisify(execFile)('psql', args, { env: { PATH: process.env['PATH'], ...passwords } })
      const rolesOf = async (url: string) => await withClient(url, async (client) => (await client.query(ROLES)).rows)
      const expected = await rolesOf(databaseUrls(port, 'postgres', secrets).superuser)
      expect(await rolesOf(urls.superuser)).toEqual(expected)
      for (const url of [urls.owner, urls.auth, urls.api]) await withClient(url, async (client) => await client.query('select'))
      const log = readFileSync(logFile, 'utf8')
      expect(log).toContain("set log_statement = 'none'")
      for (const password of Object.values(passwords)) expect(log).not.toContain(password)
    } finally {
      await postgres.stop()
      rmSync(dir, { recursive: true })
    }
  },
)
