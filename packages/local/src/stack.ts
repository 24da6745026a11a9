import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startAuth } from './auth.ts'
import { hasOtherBaseline } from './baseline.ts'
import { createSupabaseRoles, type DatabaseUrls, databaseUrls, grantSupabaseDefaults, letServerIn } from './database.ts'
import { Mailbox } from './mailbox.ts'
import { migrate } from './migrate.ts'
import { startPostgres } from './postgres.ts'
import type { ManagedProcess } from './process.ts'
import { loadSecrets } from './secrets.ts'

export interface StackOptions {
  /** The folder for the data, the secrets and the logs of the stack. */
  dir: string
  postgresPort: number
  supabasePort: number
  siteUrl: string
  google: { clientId: string; clientSecret: string } | null
  /** If true, people must confirm their e-mail address before their first session. */
  emailConfirmation: boolean
  report: (line: string) => void
  /** If true, the database and the secrets are deleted before the stack starts. */
  reset?: boolean
  /** If this signal is aborted before all parts are ready, the parts that have started are stopped. */
  signal?: AbortSignal
}

/** A running embedded stack: Postgres and Supabase Auth in place of a Supabase project. The database is migrated. */
export interface Stack {
  urls: DatabaseUrls
  supabaseUrl: string
  publishableKey: string
  jwtSecret: string
  serviceKey: string
  /** Receives all mails: those of Supabase Auth, and those of the server. */
  mailbox: Mailbox
  /** Resolves when Postgres or Supabase Auth ends, with the name of that part. */
  broke: Promise<string>
  stop(): Promise<void>
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, postgresPort, supabasePort, report, reset = false, signal } = options
  mkdirSync(dir, { recursive: true })
  const [secretsFile, dataDir] = [join(dir, 'secrets.json'), join(dir, 'postgres')]
  if (reset) rmSync(secretsFile, { force: true })
  else if (existsSync(dataDir) && !existsSync(secretsFile)) {
    throw new Error(
      `${secretsFile} is gone, and it contains the passwords of the database in ${dataDir}. Restore the file, or delete the data with --reset.`,
    )
  }
  const secrets = loadSecrets(secretsFile)
  const started: { name: string; process: ManagedProcess }[] = []
  const mailbox = new Mailbox()
  const stop = async () => {
    for (const { process } of started.toReversed()) await process.stop()
    await mailbox.stop()
  }
  try {
    await mailbox.start(dir)
    report('Starting Postgres …')
    const postgres = await startPostgres({
      dataDir,
      logFile: join(dir, 'postgres.log'),
      port: postgresPort,
      superuserPassword: secrets.superuserPassword,
      report,
      reset,
      signal,
    })
    started.push({ name: 'Postgres', process: postgres })
    const urls = databaseUrls(postgresPort, 'postgres', secrets)
    await createSupabaseRoles(urls, secrets)
    await grantSupabaseDefaults(urls)

    report('Starting Supabase Auth …')
    const auth = await startAuth({
      ...options,
      dir: join(dir, 'auth'),
      logFile: join(dir, 'auth.log'),
      port: supabasePort,
      databaseUrl: urls.auth,
      secrets,
      mailbox,
    })
    started.push({ name: 'Supabase Auth', process: auth })

    report('Applying migrations …')
    if (await hasOtherBaseline(urls.owner)) {
      throw new Error(
        `The database in ${dataDir} was created with another version of the schema and cannot be migrated. Delete its data and start again: pnpm dev --reset`,
      )
    }
    await migrate(urls.owner)
    signal?.throwIfAborted()
    await letServerIn(urls, secrets)
    return {
      urls,
      supabaseUrl: `http://127.0.0.1:${supabasePort}`,
      publishableKey: secrets.publishableKey,
      jwtSecret: secrets.jwtSecret,
      serviceKey: secrets.serviceKey,
      mailbox,
      broke: Promise.race(started.map(async ({ name, process }) => await process.exited.then(() => name))),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
