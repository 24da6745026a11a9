import { migrate, pendingMigrations } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { readMigrations } from './migrations.ts'

export interface MigrateOptions {
  /** Apply without a question. */
  yes?: true
  /** Only report the pending migrations. */
  dryRun?: true
}

/**
 * Applies the pending migrations.
 *
 * @param confirm asks a person. Null means that nobody can be asked. It is not called with `yes`, or if nothing is pending.
 * @throws Error if nobody confirms.
 */
export async function migrateDatabase(
  db: Db,
  { yes = false, dryRun = false }: { yes?: boolean; dryRun?: boolean },
  { confirm, report }: { confirm: ((question: string) => Promise<boolean>) | null; report: (line: string) => void },
): Promise<CommandResult> {
  const migrations = readMigrations()
  const pending = await pendingMigrations(db, migrations)
  const files = pending.map(({ version, name }) => `${version}_${name}`)
  const upToDate = `All ${migrations.length} migrations are applied.`
  if (pending.length === 0) return { json: { applied: [], pending: [] }, text: upToDate, isOk: true }
  if (dryRun)
    return {
      json: { applied: [], pending: files },
      text: ['These migrations are pending:', ...files.map((file) => `  ${file}`)].join('\n'),
      isOk: true,
    }
  const question = ['These migrations are pending:', ...files.map((file) => `  ${file}`), 'Apply them?'].join('\n')
  if (!yes && !(await confirm?.(question)))
    throw new Error('Nothing was changed. To apply the migrations without a question, pass --yes.')
  const applied: string[] = []
  await migrate(db, migrations, ({ version, name }) => {
    applied.push(`${version}_${name}`)
    report(`applied ${version}_${name}\n`)
  })
  return { json: { applied, pending: [] }, text: upToDate, isOk: true }
}
