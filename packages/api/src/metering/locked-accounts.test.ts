import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { createDb, type Db } from '@keymeter/db'
import { type KyselyPlugin, type OperationNode, sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { byMember, contextOf, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { hashToken } from '../keys/token.ts'
import { inAccount } from '../scope.ts'
import { Lanes, OWN_LANE_WAITING_MAX, OWN_LANES_WAITING_MAX } from './lanes.ts'
import type { BatchItem } from './meter-batch.ts'
import { Metering } from './metering.ts'

/** The deadline of a charge in the tests that wait for it. It is shorter than the deadline of the product. */
const DEADLINE_MS = 4_000
/** A deadline that no charge of these tests reaches. */
const LATE_MS = 600_000
/** The number of batches of locked accounts that can be in flight at the same time. */
const IN_FLIGHT_MAX = 4

const database = reconciledDatabase()
/** Only a superuser can read the statements of all sessions. */
const superuserDb = createDb(database.urls.superuser, () => {}, { connectionsMax: 1 })
afterAll(async () => await superuserDb.destroy())
const log = pino({ level: 'silent' })
type Account = Awaited<ReturnType<typeof provisioned>>
const provisionMany = async (count: number) =>
  await Promise.all(Array.from({ length: count }, async () => await provisioned(database)))

let requests = 0
const charge = async (metering: Metering, { defaultKey }: Account, idempotencyKey = `request-${requests++}`) =>
  await metering.charge({ key: defaultKey.secret, credits: 1, idempotencyKey, operation: 'default' })

interface Locked {
  /** The id of the Postgres process that holds the locks. */
  pid: number
  unlock(): Promise<void>
}

/** Locks the accounts in another database session, until `unlock` is called. */
async function lock(
  accounts: Account[],
  statement = 'select 1 from billing_accounts where user_id = any($1) for update',
): Promise<Locked> {
  const session = await database.owner.connect()
  await session.query('begin')
  const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
  await session.query(statement, [accounts.map(({ userId }) => userId)])
  let isLocked = true
  const unlock = async () => {
    if (!isLocked) return
    isLocked = false
    await session.query('rollback')
    session.release()
  }
  onTestFinished(unlock)
  return { pid: rows[0]?.pid ?? 0, unlock }
}

/** Locks an account as an edit of a key does, until `unlock` is called. */
async function edit({ userId }: Account): Promise<Locked> {
  const locked = Promise.withResolvers<number>()
  const { promise: end, resolve } = Promise.withResolvers<void>()
  const editing = inAccount({ ...contextOf(database, null), userId, by: byMember(userId) }, 'read write', async (scope) => {
    await lockAccount(scope)
    locked.resolve(await pidOf(scope.db))
    await end
  })
  editing.catch(locked.reject)
  const unlock = async () => {
    resolve()
    await editing
  }
  onTestFinished(unlock)
  return { pid: await locked.promise, unlock }
}

async function pidOf(db: Pick<Db, 'selectNoFrom'>): Promise<number> {
  const { pid } = await db.selectNoFrom((eb) => eb.fn<number>('pg_backend_pid').as('pid')).executeTakeFirstOrThrow()
  return pid
}

/** Returns the Postgres processes that the batches of charges wait for now: one list for each batch that waits. */
async function waits(): Promise<number[][]> {
  const { rows } = await sql<{ blockers: number[] }>`
    select pg_blocking_pids(pid) as blockers from pg_stat_activity
     where datname = current_database() and query like '%keymeter.meter_batch(%' and cardinality(pg_blocking_pids(pid)) > 0`.execute(
    superuserDb,
  )
  return rows.map(({ blockers }) => blockers)
}

/** Waits until the batches of charges wait for exactly these Postgres processes. */
async function untilBatchesWaitFor(expected: number[][]): Promise<void> {
  while (JSON.stringify((await waits()).toSorted()) !== JSON.stringify(expected.toSorted())) await sleep(5)
}

/** Creates a charge engine with its own pool, like that of another process. `batches` lists what each batch waited for. */
function createProcess({ connectionsMax = 8, answeredWithinMs = LATE_MS } = {}) {
  const batches: unknown[] = []
  const db = createDb(database.urls.api, () => {}, { connectionsMax })
  onTestFinished(async () => await db.destroy())
  const recordsBatches: KyselyPlugin = {
    transformQuery: ({ node }) => {
      batches.push(lastParameterOf(node))
      return node
    },
    transformResult: async ({ result }) => result,
  }
  return { metering: new Metering({ db: db.withPlugin(recordsBatches), keyBrand: 'km', log, answeredWithinMs }), batches }
}

function lastParameterOf(node: OperationNode): unknown {
  const { parameters } = node as { parameters?: readonly { value?: unknown }[] }
  return parameters?.at(-1)?.value
}

function numbers(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe('a batch with a locked account', () => {
  it.each<[string, (account: Account) => Promise<Locked>]>([
    ['an open edit of a key', async (account) => await edit(account)],
    ['a program with `for update`', async (account) => await lock([account])],
  ])('answers the other accounts without waiting, if %s has locked it', async (_, lockOne) => {
    const { metering, batches } = createProcess()
    const [locked, ...others] = await provisionMany(5)
    if (locked === undefined) throw new Error('no account')
    const { pid, unlock } = await lockOne(locked)
    let isAnswered = false
    const waiting = charge(metering, locked).finally(() => (isAnswered = true))
    for (const verdict of await Promise.all(others.map(async (other) => await charge(metering, other))))
      expect(verdict).toMatchObject({ verdict: 'charged' })
    // One batch waits for the lock: the batch of the locked account.
    await untilBatchesWaitFor([[pid]])
    for (let round = 0; round < 10; round++) {
      // If the locked account was in the shared lane, its calls would be left out of these batches.
      const more = charge(metering, locked)
      for (const verdict of await Promise.all(others.map(async (other) => await charge(metering, other))))
        expect(verdict).toMatchObject({ verdict: 'charged' })
      more.catch(() => {})
    }
    expect(await waits()).toEqual([[pid]])
    expect(isAnswered).toBe(false)
    // One batch for each round, and the batch of the locked account. After a timeout, the last one is sent again.
    expect(batches.filter((waitsFor) => waitsFor !== 'everybody')).toEqual(Array(11).fill('nobody'))
    await unlock()
    expect(await waiting).toMatchObject({ verdict: 'charged' })
    expect(await charge(metering, locked)).toMatchObject({ verdict: 'charged', remaining: 1000 - 12 })
  })

  it('answers the other accounts, and waits for the lock at most once, if a program has updated the account', async () => {
    const { metering, batches } = createProcess()
    const [locked, ...others] = await provisionMany(5)
    if (locked === undefined) throw new Error('no account')
    const { pid, unlock } = await lock(
      [locked],
      'update billing_accounts set credits_used = credits_used where user_id = any($1)',
    )
    const waiting = charge(metering, locked)
    for (const verdict of await Promise.all(others.map(async (other) => await charge(metering, other))))
      expect(verdict).toMatchObject({ verdict: 'charged' })
    while (!batches.includes('everybody')) await sleep(5)
    // The lock looks like a lock of another batch, until one batch has waited for it in vain.
    expect(batches.slice(0, 4)).toEqual(['nobody', 'batches', 'nobody', 'everybody'])
    await untilBatchesWaitFor([[pid]])
    for (let round = 0; round < 10; round++)
      for (const verdict of await Promise.all(others.map(async (other) => await charge(metering, other))))
        expect(verdict).toMatchObject({ verdict: 'charged' })
    expect(await waits()).toEqual([[pid]])
    await unlock()
    expect(await waiting).toMatchObject({ verdict: 'charged', remaining: 999 })
  })

  it('answers the other accounts if twelve accounts are being edited, and at most four of them wait in the database', async () => {
    const { metering, batches } = createProcess()
    const accounts = await provisionMany(12)
    const [free] = await provisionMany(1)
    if (free === undefined) throw new Error('no account')
    const { unlock } = await lock(accounts, EDIT)
    let answered = 0
    const waiting = accounts.map(async (account) => {
      const verdict = await charge(metering, account)
      answered++
      return verdict
    })
    expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
    while ((await waits()).length < IN_FLIGHT_MAX) await sleep(5)
    for (let round = 0; round < 20; round++) {
      expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
      expect((await waits()).length).toBeLessThanOrEqual(IN_FLIGHT_MAX)
    }
    expect(answered).toBe(0)
    expect(batches.filter((waitsFor) => waitsFor !== 'everybody')).toEqual(Array(21).fill('nobody'))
    await unlock()
    for (const verdict of await Promise.all(waiting)) expect(verdict).toMatchObject({ verdict: 'charged', remaining: 999 })
  })

  it('is decided once for each call, and a retry during the lock gets the same verdict', async () => {
    const { metering } = createProcess()
    const [locked, other] = await provisionMany(2)
    if (locked === undefined || other === undefined) throw new Error('no account')
    const { unlock } = await edit(locked)
    const first = charge(metering, locked, 'once')
    expect(await charge(metering, other)).toMatchObject({ verdict: 'charged' })
    const retries = [charge(metering, locked, 'once'), charge(createProcess().metering, locked, 'once')]
    expect(await charge(metering, other)).toMatchObject({ verdict: 'charged' })
    await unlock()
    const verdicts = await Promise.all([first, ...retries])
    expect(verdicts.filter((verdict) => 'replayed' in verdict && !verdict.replayed)).toHaveLength(1)
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: 'charged', remaining: 999 })
  })
})

/** The statement with which an edit locks its account. */
const EDIT = 'select keymeter.lock_account(account) from unnest($1::uuid[]) as account'

describe('an account that is edited many times', () => {
  it('is charged after at most one edit, and the other edits wait for that edit and not for the account', async () => {
    const { metering } = createProcess()
    const [account] = await provisionMany(1)
    if (account === undefined) throw new Error('no account')
    const first = await edit(account)
    const editors = await Promise.all(Array.from({ length: 5 }, async () => await database.owner.connect()))
    const pids = await Promise.all(
      editors.map(async (editor) => (await editor.query('select pg_backend_pid() as pid')).rows[0].pid),
    )
    const queued = editors.map(async (editor) => await editor.query(EDIT, [[account.userId]]))
    const isQueued = async () => {
      const { rows } = await database.owner.query(
        `select count(*)::int as edits from pg_locks where pid = any($1) and locktype = 'advisory' and not granted`,
        [pids],
      )
      return rows[0].edits === editors.length
    }
    while (!(await isQueued())) await sleep(5)
    const charged = charge(metering, account)
    // The five edits are not in the queue for the row of the account.
    await untilBatchesWaitFor([[first.pid]])
    await first.unlock()
    expect(await charged).toMatchObject({ verdict: 'charged' })
    await Promise.all(queued)
    for (const editor of editors) editor.release()
  })

  it('is always charged, and never answers that it is locked', async () => {
    const { metering, batches } = createProcess()
    const [account, other] = await provisionMany(2)
    if (account === undefined || other === undefined) throw new Error('no account')
    let edits = 0
    let isDone = false
    const editing = Array.from({ length: 4 }, async () => {
      while (!isDone) await account.caller.keys.update({ id: account.defaultKey.id, name: `name ${edits++}` })
    })
    // Only a lane of its own sends batches that wait for everybody, so charges have met edits.
    while (batches.filter((waitsFor) => waitsFor === 'everybody').length < 20)
      for (const verdict of await Promise.all([account, other].map(async (one) => await charge(metering, one))))
        expect(verdict).toMatchObject({ verdict: 'charged' })
    isDone = true
    await Promise.all(editing)
  })
})

describe('two processes', () => {
  it('a batch waits for the batch of another process, and answers the accounts that the other batch does not contain', async () => {
    const { metering, batches } = createProcess()
    const [shared, free] = await provisionMany(2)
    if (shared === undefined || free === undefined) throw new Error('no account')
    const other = await lock(
      [shared],
      `select keymeter.meter_batch(user_id, '{charge}', array[user_id], array[sha256('${shared.defaultKey.secret}')], '{null}', '{1}', '{a}', '{default}', '{null}')
         from billing_accounts where user_id = any($1)`,
    )
    const waiting = charge(metering, shared)
    expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
    while (batches.length < 2) await setImmediate()
    expect(batches.slice(0, 2)).toEqual(['nobody', 'batches'])
    await other.unlock()
    expect(await waiting).toMatchObject({ verdict: 'charged', remaining: 999 })
  })

  it('can charge the same accounts concurrently, and all totals agree', async () => {
    const processes = [createProcess(), createProcess()]
    const accounts = await provisionMany(20)
    const [hot] = accounts
    if (hot === undefined) throw new Error('no account')
    const verdicts = await Promise.all(
      processes.flatMap(({ metering }) =>
        Array.from({ length: 16 }, async (_, caller) => {
          const random = numbers(caller)
          const got: string[] = []
          for (let n = 0; n < 25; n++)
            got.push((await charge(metering, random(3) === 0 ? hot : (accounts[random(20)] ?? hot))).verdict)
          return got
        }),
      ),
    )
    expect(verdicts.flat()).toEqual(Array(2 * 16 * 25).fill('charged'))
    const { rows } = await database.owner.query(
      `select sum(credits_used)::int as used, (select deadlocks::int from pg_stat_database where datname = current_database()) as deadlocks
         from billing_accounts where user_id = any($1)`,
      [accounts.map(({ userId }) => userId)],
    )
    expect(rows).toEqual([{ used: 2 * 16 * 25, deadlocks: 0 }])
    // The processes have met: otherwise no batch would wait for a batch.
    for (const { batches } of processes) expect(batches).toContain('batches')
  })

  it('random interleavings of edits and charges lose nothing, and every charge gets one verdict', async () => {
    const interleavings = inject('isSoak') ? 20_000 : 1000
    const processes = [createProcess(), createProcess()] as const
    const accounts = await provisionMany(4)
    const random = numbers(7)
    let charges = 0
    const streams = accounts.map(async (account, n) => {
      const { caller, defaultKey } = account
      for (let round = n; round < interleavings; round += accounts.length) {
        const steps = Array.from({ length: 4 }, async () => {
          const [kind, ticks, process] = [random(3), random(4), random(2)]
          for (let tick = 0; tick < ticks; tick++) await setImmediate()
          if (kind === 0) return void (await caller.keys.update({ id: defaultKey.id, name: `round ${round}` }))
          charges++
          const other = accounts[random(accounts.length)] ?? account
          const { metering } = processes[process === 0 ? 0 : 1]
          expect(await charge(metering, kind === 1 ? account : other)).toMatchObject({ verdict: 'charged', replayed: false })
        })
        await Promise.all(steps)
      }
    })
    await database.owner.query('update billing_accounts set credits_per_cycle = 1000000')
    await Promise.all(streams)
    const { rows } = await database.owner.query(
      'select sum(credits_used)::int as used from billing_accounts where user_id = any($1)',
      [accounts.map(({ userId }) => userId)],
    )
    expect(rows).toEqual([{ used: charges }])
  })
})

describe('own lanes', () => {
  const item = ({ userId, defaultKey }: Account): BatchItem => ({
    action: 'charge',
    userId,
    keyHash: hashToken(defaultKey.secret),
    refersTo: null,
    credits: 1,
    idempotencyKey: `request-${requests++}`,
    operation: 'default',
    lifetimeSeconds: null,
  })
  const deadline = () => performance.now() + LATE_MS

  it('end a moment after the locks, also the lane of an account that is charged all the time', async () => {
    const lanes = new Lanes(database.db, log, () => {})
    const accounts = await provisionMany(30)
    const [busy] = accounts
    if (busy === undefined) throw new Error('no account')
    await database.owner.query('update billing_accounts set credits_per_cycle = 1000000 where user_id = $1', [busy.userId])
    const { unlock } = await lock(accounts)
    const calls = accounts.map(async (account) => await lanes.decide(item(account), deadline()))
    while (lanes.ownLanes < accounts.length) await sleep(5)
    await unlock()
    for (const { verdict } of await Promise.all(calls)) expect(verdict).toBe('charged')
    const client = async () => {
      while (lanes.ownLanes > 0) expect(await lanes.decide(item(busy), deadline())).toMatchObject({ verdict: 'charged' })
    }
    await Promise.all([client(), client()])
  })

  it('refuse further calls of an account at a limit for the account, and at a limit for all locked accounts', async () => {
    const lanes = new Lanes(database.db, log, () => {})
    const accounts = await provisionMany(4)
    const [first, second, third, free] = accounts
    if (first === undefined || second === undefined || third === undefined || free === undefined) throw new Error('no account')
    const { unlock } = await lock([first, second, third])
    const calls: Promise<unknown>[] = []
    const send = (account: Account, count: number) => {
      for (let n = 0; n < count; n++) calls.push(lanes.decide(item(account), performance.now() + DEADLINE_MS))
    }
    for (const account of [first, second, third]) send(account, 1)
    while (lanes.ownLanes < 3) await sleep(5)

    send(first, OWN_LANE_WAITING_MAX - 2)
    expect(lanes.isRefused(first.userId)).toBe(false)
    send(first, 1)
    expect(lanes.isRefused(first.userId)).toBe(true)
    expect(lanes.isRefused(second.userId)).toBe(false)

    send(second, OWN_LANE_WAITING_MAX - 1)
    send(third, OWN_LANES_WAITING_MAX - 2 * OWN_LANE_WAITING_MAX - 2)
    expect(lanes.isRefused(third.userId)).toBe(false)
    send(third, 1)
    expect(lanes.isRefused(third.userId)).toBe(true)
    expect(lanes.isRefused(free.userId)).toBe(false)
    expect(await lanes.decide(item(free), deadline())).toMatchObject({ verdict: 'charged' })

    // The calls that reach their deadline no longer count.
    await Promise.allSettled(calls)
    for (const account of accounts) expect(lanes.isRefused(account.userId)).toBe(false)
    await unlock()
  })
})
it('only the calls of an account that another session has locked wait, and all other accounts are charged', async () => {
  const metering = new Metering({ db: database.db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const [locked, ...others] = await provisionMany(5)
  if (locked === undefined) throw new Error('no account')
  const { unlock } = await lock([locked])

  let isLocked = true
  const answered: string[] = []
  const waiting = Promise.all(
    Array.from({ length: 10 }, async () => {
      expect(await charge(metering, locked)).toMatchObject({ verdict: 'charged' })
      answered.push(isLocked ? 'while locked' : 'afterwards')
    }),
  )
  for (let round = 0; round < 20; round++) {
    const verdicts = await Promise.all(others.map(async (other) => await charge(metering, other)))
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: 'charged' })
  }
  expect(answered).toEqual([])
  isLocked = false
  await unlock()
  await waiting
  expect(answered).toEqual(Array(10).fill('afterwards'))
  expect(await charge(metering, locked)).toMatchObject({ verdict: 'charged', remaining: 989 })
})

it('accounts are charged one after the other if a batch with all of them takes longer than statement_timeout', async () => {
  const accounts = await provisionMany(8)
  // Make `advance_accounts` slow. The charge engine calls it only for accounts with due work, so it is not called for
  // accounts that were just charged.
  const { owner } = database
  await owner.query('alter function keymeter.advance_accounts(uuid[], timestamptz) rename to fast_advance_accounts')
  await owner.query(
    `create function keymeter.advance_accounts(user_ids uuid[], v_now timestamptz) returns void language plpgsql as
      'begin perform pg_sleep(0.1 * cardinality(user_ids)), keymeter.fast_advance_accounts(user_ids, v_now); end'`,
  )
  const db = createDb(`${database.urls.api}?options=-c%20statement_timeout%3D500`, () => {})
  const metering = new Metering({ db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const verdicts = await Promise.all(
    accounts.flatMap((account) => [charge(metering, account, 'slow-1'), charge(metering, account, 'slow-2')]),
  )
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(Array(16).fill('charged'))
  await db.destroy()
  await owner.query(
    'drop function keymeter.advance_accounts; alter function keymeter.fast_advance_accounts rename to advance_accounts',
  )
})

it('accounts can be charged again after another session has locked them for longer than a charge waits', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  // A new charge engine does not know which accounts are locked, so its first batches contain all of them.
  const metering = new Metering({ db: database.db, keyBrand: 'km', log, answeredWithinMs: DEADLINE_MS })
  const accounts = await provisionMany(12)
  const free = await provisioned(database)
  const { unlock } = await lock(accounts)

  const locked = accounts.map(async (account) => await charge(metering, account, 'locked'))
  expect(await charge(metering, free, 'free')).toMatchObject({ verdict: 'charged' })
  for (const result of await Promise.allSettled(locked))
    expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
  await unlock()
  for (const account of accounts) expect(await charge(metering, account, 'again')).toMatchObject({ verdict: 'charged' })
  process.off('unhandledRejection', listener)
  expect(unhandled).toEqual([])
})

it('many locked accounts do not occupy all connections, and do not delay the other accounts', async () => {
  const db = createDb(database.urls.api, () => {}, { connectionsMax: 6 })
  const metering = new Metering({ db, keyBrand: 'km', log, answeredWithinMs: 60_000 })
  const accounts = await provisionMany(40)
  const free = await provisioned(database)
  const { unlock } = await lock(accounts)

  let isLocked = true
  const answered: string[] = []
  const waiting = accounts.map(async (account) => {
    const { verdict } = await charge(metering, account)
    answered.push(isLocked ? 'while locked' : verdict)
  })
  // Only the first charge shares a batch with the locked accounts.
  expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
  // If the locked accounts occupied all connections, these charges would wait until a connection is free.
  for (let round = 0; round < 5; round++) expect(await charge(metering, free)).toMatchObject({ verdict: 'charged' })
  expect(answered).toEqual([])
  isLocked = false
  await unlock()
  await Promise.all(waiting)
  expect(answered).toEqual(Array(40).fill('charged'))
  await db.destroy()
})
