import { expect, it } from 'vitest'
import { hasOtherBaseline } from './baseline.ts'
import { BASELINE_VERSION } from './schemas.ts'
import { testDatabase } from './testing/index.ts'

const { urls, owner } = testDatabase()
const HISTORY = 'supabase_migrations.schema_migrations'

it('a database with the current baseline can be migrated', async () => {
  expect(await hasOtherBaseline(urls.owner)).toBe(false)
})

it('a database whose baseline differs in one word is detected', async () => {
  await owner.query(
    `update ${HISTORY} set statements[10] = replace(statements[10], 'function', 'procedure') || ' ' where version = $1`,
    [BASELINE_VERSION],
  )
  expect(await hasOtherBaseline(urls.owner)).toBe(true)
})

it('a database with a migration that no longer exists is detected', async () => {
  await owner.query(`delete from ${HISTORY} where version = $1`, [BASELINE_VERSION])
  expect(await hasOtherBaseline(urls.owner)).toBe(false)
  await owner.query(`insert into ${HISTORY} (version, statements) values ('20260302000003', '{}')`)
  expect(await hasOtherBaseline(urls.owner)).toBe(true)
})

it('a database without migrations can be migrated', async () => {
  await owner.query('drop schema supabase_migrations cascade')
  expect(await hasOtherBaseline(urls.owner)).toBe(false)
})
