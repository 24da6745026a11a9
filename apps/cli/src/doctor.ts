import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { examine, type Finding, repairPermissions } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { readMigrations } from './migrations.ts'

const SUPABASE = join(import.meta.dirname, '../../../supabase')
const PERMISSION_SCRIPTS = ['schemas/roles.sql', 'schemas/permissions.sql']
/** The length of the longest name of a check, and two spaces. */
const NAME_WIDTH = 22

/** Examines the deployment that the settings describe. With `fix`, it first restores the role of the server, rights and policies. */
export async function examineDeployment(
  db: Db,
  readSetting: (name: string) => string | null,
  { fix = false }: { fix?: boolean },
): Promise<CommandResult> {
  if (fix)
    await repairPermissions(
      db,
      PERMISSION_SCRIPTS.map((file) => readFileSync(join(SUPABASE, file), 'utf8')),
    )
  const findings = await examine(db, {
    urls: {
      owner: readSetting('MIGRATION_DATABASE_URL') ?? '',
      server: readSetting('DATABASE_URL'),
      direct: readSetting('DATABASE_DIRECT_URL'),
    },
    auth: {
      url: readSetting('SUPABASE_INTERNAL_URL') ?? readSetting('SUPABASE_URL'),
      publishableKey: readSetting('SUPABASE_PUBLISHABLE_KEY'),
      hasJwtSecret: readSetting('SUPABASE_JWT_SECRET') !== null,
    },
    smtpUrl: readSetting('SMTP_URL'),
    migrations: readMigrations().map(({ version }) => version),
  })
  return {
    json: { isFixed: fix, findings },
    text: findings.map(describeFinding).join('\n'),
    isOk: findings.every(({ status }) => status !== 'fault'),
  }
}

function describeFinding({ name, status, message, repair }: Finding): string {
  return `${status.padEnd(7)}  ${name.padEnd(NAME_WIDTH)}${message}${repair === null ? '' : ` Repair: ${repair}`}`
}
