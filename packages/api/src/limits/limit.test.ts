import { createServer } from 'node:net'
import { createDb, type Db } from '@keymeter/db'
import { testDatabase } from '@keymeter/local/testing'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppError } from '../errors.ts'
import { DELETED_ROWS_MAX, deleteEndedLimits } from './delete-ended-limits.ts'
import { Limit, type LimitOptions, WAITING_ATTEMPTS_MAX, WAITING_PER_SUBJECT_MAX } from './limit.ts'

const database = testDatabase()

const OPTIONS: LimitOptions = {
  name: 'test',
  attemptsMax: 10,
  windowSeconds: 3_600,
  reason: 'too_many_attempts',
  refusal: 'Too many tests',
}
const limitOf = (db: Db, options: Partial<LimitOptions> = {}) => new Limit(db, { ...OPTIONS, ...options })

/** Makes `count` concurrent attempts, and returns their errors. An attempt that passes has the error null. */
async function attempt(limits: Limit[], subject: string, count: number): Promise<(AppError | null)[]> {
  const attempts = Array.from({ length: count }, async (_, i) => await limits[i % limits.length]?.attempt(subject))
  return (await Promise.allSettled(attempts)).map((result) => (result.status === 'rejected' ? result.reason : null))
}
const passed = (errors: (AppError | null)[]) => errors.filter((error) => error === null).length

/** Returns a handle whose statements are counted. */
function counted(db: Db) {
  const count = { statements: 0 }
  const counting = db.withPlugin({
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      count.statements += 1
      return result
    },
  })
  return { count, db: counting }
}

async function rowOf(subject: string) {
  const { rows } = await database.owner.query<{ points: number; expire: string }>(
    'select points, expire from rate_limits where key = $1',
    [`test:${subject}`],
  )
  return rows[0]
}

/** Locks the counter of a subject until the returned function is called. */
async function lockCounter(subject: string) {
  const client = await database.owner.connect()
  await client.query('begin')
  await client.query('insert into rate_limits values ($1, 1, $2)', [`test:${subject}`, Date.now() + 3_600_000])
  const unlock = async () => {
    if (!locks.delete(unlock)) return
    await client.query('commit')
    client.release()
  }
  locks.add(unlock)
  return unlock
}
/** The locks that are still held. Without these unlocks, the pool of a failed test could not be closed. */
const locks = new Set<() => Promise<void>>()
afterEach(async () => {
  for (const unlock of locks) await unlock()
})

/** Resolves when sessions wait for a lock. Returns their number. */
async function waitUntilBlocked(): Promise<number> {
  for (;;) {
    const { rows } = await database.owner.query<{ blocked: number }>(
      'select count(distinct pid)::int as blocked from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database()',
    )
    if (rows[0] && rows[0].blocked > 0) return rows[0].blocked
  }
}

describe('a limit', () => {
  it('lets exactly its number of 200 concurrent attempts pass, over two processes with their own connections', async () => {
    const other = createDb(database.urls.api, () => {})
    for (const attemptsMax of [1, 10, 199, 200]) {
      const limits = [limitOf(database.db, { attemptsMax }), limitOf(other, { attemptsMax })]
      const errors = await attempt(limits, `exact-${attemptsMax}`, 200)
      expect(passed(errors)).toBe(attemptsMax)
    }
    await other.destroy()
  })

  it('lets exactly its number of attempts pass one after the other, and refuses the next one with the wait', async () => {
    const limit = limitOf(database.db)
    for (let i = 0; i < 10; i += 1) await limit.attempt('in-order')
    const error = await limit.attempt('in-order').catch((error) => error)
    expect(error).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      reason: 'too_many_attempts',
      message: 'Too many tests: try again in 60 minutes.',
      retryAfterSeconds: expect.any(Number),
    })
    expect(error.retryAfterSeconds).toBeGreaterThan(3_500)
    expect(error.retryAfterSeconds).toBeLessThanOrEqual(3_600)
  })

  it('does not count attempts of one subject, or of another limit, for another subject', async () => {
    const limit = limitOf(database.db)
    expect(passed(await attempt([limit], 'one', 20))).toBe(10)
    expect(passed(await attempt([limit], 'other', 20))).toBe(10)
    expect(passed(await attempt([limitOf(database.db, { name: 'test2' })], 'one', 20))).toBe(10)
  })

  it('counts refused attempts, but they do not extend the window', async () => {
    await attempt([limitOf(database.db)], 'refused', 10)
    const before = await rowOf('refused')
    expect(passed(await attempt([limitOf(database.db)], 'refused', 1))).toBe(0)
    expect(await rowOf('refused')).toEqual({ points: 11, expire: before?.expire })
  })

  it('begins a new window when the previous one has ended', async () => {
    await attempt([limitOf(database.db)], 'ended', 20)
    await database.owner.query("update rate_limits set expire = $1 where key = 'test:ended'", [Date.now() - 1])
    expect(passed(await attempt([limitOf(database.db)], 'ended', 20))).toBe(10)
  })

  it('refuses without a statement after a subject has used up its limit', async () => {
    const { db, count } = counted(database.db)
    const limit = limitOf(db)
    await attempt([limit], 'remembered', 11)
    const before = count.statements
    expect(passed(await attempt([limit], 'remembered', 50))).toBe(0)
    expect(count.statements).toBe(before)
  })

  it('counts the waiting attempts of one subject with one statement, and has one statement in flight', async () => {
    const { db, count } = counted(database.db)
    const limit = limitOf(db, { attemptsMax: 100 })
    const unlock = await lockCounter('locked')
    const first = limit.attempt('locked')
    expect(await waitUntilBlocked()).toBe(1)
    const others = [attempt([limit], 'locked', 60), attempt([limit], 'free', 60)]
    expect(await waitUntilBlocked()).toBe(1)
    await unlock()
    await first
    expect((await Promise.all(others)).map(passed)).toEqual([60, 60])
    expect(count.statements).toBe(3)
    expect(await rowOf('locked')).toMatchObject({ points: 62 })
  })

  it('refuses further attempts while too many are waiting, of one subject or of all, and counts them again afterwards', async () => {
    const limit = limitOf(database.db, { attemptsMax: 1_000 })
    const unlock = await lockCounter('crowd')
    const first = limit.attempt('crowd')
    await waitUntilBlocked()
    const crowded = { reason: 'too_many_attempts', retryAfterSeconds: 1 }
    const ofOneSubject = attempt([limit], 'one of many', WAITING_PER_SUBJECT_MAX)
    await expect(limit.attempt('one of many')).rejects.toMatchObject(crowded)
    const ofMany = Promise.allSettled(
      Array.from({ length: WAITING_ATTEMPTS_MAX - WAITING_PER_SUBJECT_MAX }, async (_, i) => await limit.attempt(`many-${i}`)),
    )
    await expect(limit.attempt('one too many')).rejects.toMatchObject(crowded)
    await unlock()
    await first
    expect(passed(await ofOneSubject)).toBe(WAITING_PER_SUBJECT_MAX)
    // On a slow machine, some of them wait for too long and get database_unavailable.
    const reasons = (await ofMany).map((result) => (result.status === 'rejected' ? result.reason.reason : null))
    expect(reasons).not.toContain('too_many_attempts')
    expect(reasons).toContain(null)
    await limit.attempt('one too many')
  })

  it('answers database_unavailable to all waiting attempts after one failure of Postgres, and passes nobody', async () => {
    let connections = 0
    const server = createServer((socket) => {
      connections += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const broken = createDb(`postgresql://keymeter_api:none@127.0.0.1:${port}/none`, () => {})
    const limit = limitOf(broken)
    const errors = await Promise.all(['a', 'b', 'c', 'd'].map(async (subject) => await attempt([limit], subject, 5)))
    for (const error of errors.flat())
      expect(error).toMatchObject({ code: 'SERVICE_UNAVAILABLE', reason: 'database_unavailable' })
    expect(connections).toBe(1)
    await broken.destroy()
    server.close()
  })

  it('a subject whose counter another session has locked gets database_unavailable, and other subjects are counted', async () => {
    const limit = limitOf(database.db)
    const unlock = await lockCounter('hanging')
    const hanging = attempt([limit], 'hanging', 3)
    await waitUntilBlocked()
    const others = attempt([limit], 'not hanging', 3)
    for (const error of await hanging) expect(error).toMatchObject({ reason: 'database_unavailable' })
    expect(passed(await others)).toBe(3)
    await unlock()
  })

  it('with the number 0 lets every attempt pass and needs no database', async () => {
    const nowhere = createDb('postgresql://keymeter_api:none@127.0.0.1:1/none', () => {})
    expect(passed(await attempt([limitOf(nowhere, { attemptsMax: 0 })], 'off', 50))).toBe(50)
    await nowhere.destroy()
  })
})

describe('the deletion of ended counters', () => {
  it('deletes all counters that ended five minutes ago, in batches, and no other counter', async () => {
    const now = Date.now()
    await database.owner.query('truncate rate_limits')
    await database.owner.query(
      `insert into rate_limits select 'test:ended-' || i, 1, $1 from generate_series(1, $2::int) as i`,
      [now - 300_001, 2 * DELETED_ROWS_MAX + 1],
    )
    await database.owner.query("insert into rate_limits values ('test:just-ended', 1, $1), ('test:runs', 1, $2)", [
      now - 300_000,
      now + 1,
    ])
    const { db, count } = counted(database.db)
    expect(await deleteEndedLimits(db, now)).toBe(2 * DELETED_ROWS_MAX + 1)
    expect(count.statements).toBe(3)
    expect((await database.owner.query('select key from rate_limits order by key')).rows).toEqual([
      { key: 'test:just-ended' },
      { key: 'test:runs' },
    ])
  })

  it('does not wait for a counter that another session has locked', async () => {
    await database.owner.query('truncate rate_limits')
    await database.owner.query("insert into rate_limits values ('test:counted', 1, 1)")
    const client = await database.owner.connect()
    await client.query("begin; update rate_limits set points = 2 where key = 'test:counted'")
    const deleted = await deleteEndedLimits(database.db).catch((error) => error)
    await client.query('rollback')
    client.release()
    expect(deleted).toBe(0)
    expect(await deleteEndedLimits(database.db)).toBe(1)
  })
})
