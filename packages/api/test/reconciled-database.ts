import { type TestDatabase, testDatabase } from '@keymeter/local/testing'
import { afterEach, expect } from 'vitest'
import { reconcile } from '../src/maintenance/reconcile.ts'

/**
 * Creates a database for the test file that calls this function. After each test, `reconcile` must report no difference
 * between the totals and the usage events.
 */
export function reconciledDatabase(): TestDatabase {
  const database = testDatabase()
  afterEach(async () => expect(await reconcile(database.ownerDb)).toEqual([]))
  return database
}
