import { expect, it } from 'vitest'
import { draft } from './draft-migration.ts'
import { testDatabase } from './testing/index.ts'

const migrated = testDatabase()
const written = testDatabase()

it('the draft of a migration has one statement for a new column and one for a changed function', async () => {
  await written.owner.query(`
    alter table api_keys add column description text;
    create or replace function keymeter.max_operations() returns int language sql immutable parallel safe as 'select 200'`)
  const sql = await draft(migrated.urls.owner, written.urls.owner)
  const statements = sql
    .replaceAll(/^\s*--.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim().replaceAll(/\s+/g, ' '))
    .filter((statement) => statement !== '' && !/^set /i.test(statement))
  expect(statements.sort()).toEqual([
    expect.stringMatching(/^alter table "?public"?\."?api_keys"? add column "?description"? text$/i),
    expect.stringMatching(/^create or replace function "?keymeter"?\."?max_operations"?\(\) .*select 200/i),
  ])
  expect(sql).toMatch(/^-- only in schemas: column api_keys\.description: /m)
})
