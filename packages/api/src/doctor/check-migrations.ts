import type { Db } from '@keymeter/db'
import { appliedVersions } from '../maintenance/migrate.ts'
import { type Finding, fault, listed, ok } from './finding.ts'

/** @param files The versions of the migrations of this release, e.g. `20260501000001`. */
export async function checkMigrations(db: Db, files: readonly string[]): Promise<Finding> {
  const applied = await appliedVersions(db)
  const missing = files.filter((version) => !applied.includes(version))
  const unknown = applied.filter((version) => !files.includes(version))
  if (missing.length > 0)
    return fault('migrations', `${missing.length} are not applied: ${listed(missing)}.`, 'keymeter migrate')
  if (unknown.length > 0)
    return fault(
      'migrations',
      `The database has migrations that this release does not contain: ${listed(unknown)}.`,
      'Use the release that migrated the database.',
    )
  return ok('migrations', `All ${files.length} are applied.`)
}
