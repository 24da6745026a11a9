import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Migration } from '@keymeter/api/server'

const FOLDER = join(import.meta.dirname, '../../../supabase/migrations')

/** Reads the migrations of this release, in their order. */
export function readMigrations(): Migration[] {
  return readdirSync(FOLDER)
    .sort()
    .flatMap((file) => {
      const [, version, name] = /^(\d{14})_(.*)\.sql$/.exec(file) ?? []
      return version === undefined || name === undefined
        ? []
        : [{ version, name, sql: readFileSync(join(FOLDER, file), 'utf8') }]
    })
}
