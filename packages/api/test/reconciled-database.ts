import { type TestDatabase, testDatabase } from '@keymeter/local/testing'
import { afterEach, expect } from 'vitest'
import { reconcile } from '../src/maintenance/reconcile.ts'

/** A database for the tests of one file. After each of them, the operator's own check must find no difference. */
export function reconciledDatabase(): TestDatabase {
  const database = testDatabase()
  afterEach(async () => expect(await reconcile(database.ownerDb)).toEqual([]))
  return database
}
