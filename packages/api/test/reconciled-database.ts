import { type TestDatabase, testDatabase } from '@keymeter/local/testing'
import { afterEach, expect } from 'vitest'
import { reconcile } from '../src/maintenance/reconcile.ts'

/**
 * Creates a database for the calling test file. After each test, `reconcile` must report no difference between totals and
 * events.
 */
export function reconciledDatabase(): TestDatabase {
  const database = testDatabase()
  afterEach(async () => expect(await reconcile(database.ownerDb)).toEqual([]))
  return database
}
