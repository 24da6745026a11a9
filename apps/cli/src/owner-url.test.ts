import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readOwnerUrl } from './owner-url.ts'

const dir = mkdtempSync(join(tmpdir(), 'keymeter-cli-'))
afterAll(() => rmSync(dir, { recursive: true }))

function file(name: string, text: string): string {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

describe('URL of the database’s owner', () => {
  it('the URL of the database’s owner comes from the environment, or else from the first file that sets it', () => {
    const files = [
      join(dir, 'missing'),
      file('blank', 'MIGRATION_DATABASE_URL=\n'),
      file('first', 'MIGRATION_DATABASE_URL=postgresql://first\n'),
      file('second', 'MIGRATION_DATABASE_URL=postgresql://second\n'),
    ]
    expect(readOwnerUrl({ MIGRATION_DATABASE_URL: 'postgresql://env' }, files)).toBe('postgresql://env')
    for (const env of [{}, { MIGRATION_DATABASE_URL: '' }]) expect(readOwnerUrl(env, files)).toBe('postgresql://first')
  })

  it('a missing URL of the database’s owner causes an error', () => {
    expect(() => readOwnerUrl({}, [join(dir, 'missing')])).toThrow('Set MIGRATION_DATABASE_URL')
  })
})
