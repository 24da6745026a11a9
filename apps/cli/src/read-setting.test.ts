import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readSetting } from './read-setting.ts'

const dir = mkdtempSync(join(tmpdir(), 'keymeter-cli-'))
afterAll(() => rmSync(dir, { recursive: true }))

function file(name: string, text: string): string {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

describe('settings of the CLI', () => {
  const read = (env: NodeJS.ProcessEnv, files: string[]) => readSetting('MIGRATION_DATABASE_URL', env, files)

  it('a setting comes from the environment, or else from the first file that sets it', () => {
    const files = [
      join(dir, 'missing'),
      file('without', 'OTHER=1\n'),
      file('first', 'MIGRATION_DATABASE_URL=postgresql://first\n'),
      file('second', 'MIGRATION_DATABASE_URL=postgresql://second\n'),
    ]
    expect(read({ MIGRATION_DATABASE_URL: 'postgresql://env' }, files)).toBe('postgresql://env')
    for (const env of [{}, { MIGRATION_DATABASE_URL: '' }]) expect(read(env, files)).toBe('postgresql://first')
  })

  it('a setting that is set nowhere, or that is empty in the first file that contains it, is null', () => {
    expect(read({}, [join(dir, 'missing')])).toBeNull()
    const files = [file('blank', 'MIGRATION_DATABASE_URL=\n'), file('second', 'MIGRATION_DATABASE_URL=postgresql://second\n')]
    expect(read({}, files)).toBeNull()
  })
})
