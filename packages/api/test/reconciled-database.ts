import { type TestDatabase, testDatabase } from '@keymeter/local/testing'
import { afterEach, expect } from 'vitest'
import { reconcile } from '../src/maintenance/reconcile.ts'

/** A database for the tests of one file. After each test, the operator's `reconcile` must find no difference. */
export function reconciledDatabase(): TestDatabase {
  const database = testDatabase()
  afterEach(async () => expect(await reconcile(database.ownerDb)).toEqual([]))
  return database
}
