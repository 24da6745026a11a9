import { setTimeout as sleep } from 'node:timers/promises'
import { createDb, ping, type RunSql } from '@keymeter/db'

/** A database that does not answer within this time is not ready. */
const ANSWER_TIMEOUT_MS = 2_000
/** An answer is kept for this time. So any number of callers causes at most one query per second. */
const ANSWER_KEPT_MS = 1_000

/** Tells whether the database answers. */
export interface Readiness {
  isReady(): Promise<boolean>
  close(): Promise<void>
}

/**
 * Creates the readiness check of the process. It has one connection of its own, because the connections of the pools can all be
 * in use while the database answers. The pool of this connection opens another one after a failure. `verify` checks the
 * database before the first query.
 */
export function createReadiness(
  databaseUrl: string,
  onConnectionError: (error: Error) => void,
  verify?: (run: RunSql) => Promise<void>,
): Readiness {
  const db = createDb(databaseUrl, onConnectionError, { connectionsMax: 1, ...(verify && { verify }) })
  let query: Promise<boolean> | null = null
  let answer: Promise<boolean> | null = null

  const ask = async () => {
    // A query that has not ended is not repeated. Otherwise the queries of a hanging database would come in a burst when it is
    // back.
    query ??= ping(db)
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        query = null
      })
    const isReady = await Promise.race([query, sleep(ANSWER_TIMEOUT_MS, false, { ref: false })])
    setTimeout(() => {
      answer = null
    }, ANSWER_KEPT_MS).unref()
    return isReady
  }
  return { isReady: () => (answer ??= ask()), close: async () => await db.destroy() }
}
