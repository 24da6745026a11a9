import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { withClient } from '../database.ts'
import { REPOSITORY } from '../migrate.ts'

const MIGRATIONS = join(REPOSITORY, 'supabase/migrations')
const VERSION_LENGTH = '20260214000001'.length

/** Applies those whose version is wanted, in order, each in a transaction of its own, as the Supabase CLI does. */
export async function applyMigrations(ownerUrl: string, isWanted: (version: string) => boolean): Promise<void> {
  for (const file of files()) {
    if (!isWanted(file.slice(0, VERSION_LENGTH))) continue
    await withClient(ownerUrl, async (client) => {
      await client.query(`begin;\n${readFileSync(join(MIGRATIONS, file), 'utf8')}\n;commit`)
    })
  }
}

/** All of them, in order. */
export function migrationVersions(): string[] {
  return files().map((file) => file.slice(0, VERSION_LENGTH))
}

function files(): string[] {
  return readdirSync(MIGRATIONS).sort()
}
