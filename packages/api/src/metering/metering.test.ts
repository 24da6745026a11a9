import { randomInt, randomUUID } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CHARGES_MAX, type Charge, type ChargeVerdict } from '@keymeter/contract'
import { createDb, type Db } from '@keymeter/db'
import { type KyselyPlugin, sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { mintToken } from '../keys/token.ts'
import { Metering, type MeteringOptions } from './metering.ts'

const database = reconciledDatabase()
const log = pino({ level: 'silent' })
let account: Awaited<ReturnType<typeof provisioned>>
beforeEach(async () => {
  account = await provisioned(database)
  await database.owner.query('update billing_accounts set credits_per_cycle = 1000000 where user_id = $1', [account.userId])
})

/** Returns the database with a counter of the statements that are sent to it. */
function counted(db: Db) {
  const count = { statements: 0 }
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      count.statements++
      return node
    },
    transformResult: async ({ result }) => result,
  }
  return { db: db.withPlugin(plugin), count }
}

const request = (input: Partial<Charge> = {}): Charge => ({
  key: account.defaultKey.secret,
  credits: 1,
  idempotencyKey: randomUUID(),
  operation: 'default',
  ...input,
})
/**
 * Creates a charge engine with a long deadline, so that the tests pass on a busy machine. Only the tests about deadlines
 * set a short deadline.
 */
const engine = (options: Partial<MeteringOptions> = {}) =>
  new Metering({ db: database.db, keyBrand: 'km', log, answeredWithinMs: 60_000, ...options })
const chargeAll = async (metering: Metering, items: Charge[]) =>
  await Promise.all(items.map(async (item) => await metering.charge(item)))
const many = (count: number) => Array.from({ length: count }, () => request())
const isCharged = ({ verdict }: ChargeVerdict) => verdict === 'charged'
const eventCount = async () =>
  (await database.owner.query('select count(*)::int as events from api_key_usage where user_id = $1', [account.userId])).rows[0]
    .events

describe('the engine', () => {
  it('sends a single call immediately, and sends the calls of one event-loop tick together', async () => {
    const { db, count } = counted(database.db)
    const metering = engine({ db })
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
    expect(count.statements).toBe(1)
    const verdicts = await chargeAll(metering, many(20))
    expect(verdicts.every(isCharged)).toBe(true)
    expect(count.statements).toBe(2)
  })

  it('sends at most 500 calls in a batch, and collects the next batch while one batch is in flight', async () => {
    const metering = engine()
    const first = chargeAll(metering, many(CHARGES_MAX + 1))
    await sleep(0)
    const rest = chargeAll(metering, many(CHARGES_MAX))
    expect((await Promise.all([first, rest])).flat().every(isCharged)).toBe(true)
    // Each batch is one transaction, so the events with the same `xmin` are those of one batch.
    const { rows } = await database.owner.query(
      'select count(*)::int as size from api_key_usage where user_id = $1 group by xmin::text order by min(sequence)',
      [account.userId],
    )
    expect(rows.map(({ size }) => size)).toEqual([CHARGES_MAX, CHARGES_MAX, 1])
  })

  it('decides the calls of a batch in the order in which they were made', async () => {
    const verdicts = await engine().chargeMany(many(50))
    expect(verdicts.map((verdict) => 'remaining' in verdict && verdict.remaining)).toEqual(verdicts.map((_, n) => 999_999 - n))
  })

  it('answers a call immediately with overloaded and a time to retry, and charges nothing, if too many calls wait', async () => {
    const metering = engine({ waitingMax: 10 })
    let answered = 0
    const waiting = many(10).map(async (item) => await metering.charge(item).finally(() => answered++))
    expect(await metering.charge(request())).toEqual({ verdict: 'overloaded', retryAfterMs: expect.any(Number) })
    expect(answered).toBe(0)
    expect((await Promise.all(waiting)).every(isCharged)).toBe(true)
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
    expect(await eventCount()).toBe(11)
  })

  it('does not ask the database about a text that is not a token', async () => {
    const { db, count } = counted(database.db)
    expect(await engine({ db }).charge(request({ key: 'nonsense' }))).toEqual({ verdict: 'not_found' })
    expect(count.statements).toBe(0)
  })

  it('sends calls of several accounts in one batch', async () => {
    const other = await provisioned(database)
    const { db, count } = counted(database.db)
    await engine({ db }).chargeMany([request(), request({ key: other.defaultKey.secret }), request()])
    expect(count.statements).toBe(1)
  })
})

describe('chargeMany', () => {
  it('decides 500 charges, and rejects a request with 501', async () => {
    const { db, count } = counted(database.db)
    const metering = engine({ db })
    const verdicts = await metering.chargeMany(many(CHARGES_MAX))
    expect(verdicts).toHaveLength(CHARGES_MAX)
    expect(verdicts.every(isCharged)).toBe(true)
    expect(count.statements).toBe(1)
    await expect(metering.chargeMany(many(CHARGES_MAX + 1))).rejects.toMatchObject({ reason: 'bad_request' })
    expect(await eventCount()).toBe(CHARGES_MAX)
  })

  it('returns no verdicts for an empty request', async () => {
    expect(await engine().chargeMany([])).toEqual([])
  })
})

describe('an item that the database rejects', () => {
  it('only this item fails, and the other items of its batch are charged once', async () => {
    const metering = engine()
    const key = mintToken('km', 'dev', account.userId)
    const results = await Promise.allSettled([
      metering.charge(request()),
      metering.charge(request({ operation: 'a\0b' })),
      metering.charge(request({ key })),
      metering.charge(request({ operation: 'Not allowed' })),
      metering.charge(request()),
    ])
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value.verdict : 'failed'))).toEqual([
      'charged',
      'failed',
      'not_found',
      'failed',
      'charged',
    ])
    expect(await eventCount()).toBe(2)
  })
})

describe('when connections break', () => {
  it('every call is answered and charged once, even if its batch is sent several times', async () => {
    const metering = engine()
    // This connection uses the same role as the engine, so it can end the engine’s connections.
    const breaker = createDb(database.urls.api, () => {}, { connectionsMax: 1 })
    const requests = many(1500)
    const answers = new Map<string | null, ChargeVerdict>()
    let isDone = false
    const breaking = (async () => {
      let broken = 0
      while (!isDone) {
        const { rows } = await sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = ${database.name} and usename = current_user and pid <> pg_backend_pid()`.execute(breaker)
        broken += rows.length
        // Wait for 50 answers. Opening connections takes long on a busy machine, so without this wait no batch would ever
        // be answered.
        for (const until = answers.size + 50; answers.size < until && !isDone; ) await sleep(1)
        await sleep(randomInt(20))
      }
      return broken
    })()
    const pending = [...requests]
    const client = async () => {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
        const result = await metering.charge(next).catch((error: unknown) => {
          expect(error).toMatchObject({ reason: 'database_unavailable' })
        })
        if (result === undefined) pending.push(next)
        else answers.set(next.idempotencyKey, result)
      }
    }
    await Promise.all(Array.from({ length: 50 }, client)).finally(() => {
      isDone = true
    })
    expect(await breaking).toBeGreaterThan(0)
    await breaker.destroy()
    expect(answers.size).toBe(requests.length)
    expect([...answers.values()].every(isCharged)).toBe(true)
    expect(await eventCount()).toBe(requests.length)
    for (const verdict of await engine().chargeMany(requests.slice(0, CHARGES_MAX)))
      expect(verdict).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await eventCount()).toBe(requests.length)
  })

  it('if the answer of a committed charge is lost, the call still gets an answer, and the charge is made once', async () => {
    const metering = engine({ db: proxied })
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged', replayed: false })
    gate.losesAnswers = 1
    expect(await metering.charge(request({ credits: 7 }))).toMatchObject({
      verdict: 'charged',
      credits: 7,
      remaining: 999_992,
      replayed: true,
    })
    expect(gate.losesAnswers).toBe(0)
    expect(await eventCount()).toBe(2)
  })

  it('if the database stays unreachable, the call fails, and a later retry is charged only once', async () => {
    const metering = engine({ db: proxied })
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
    gate.isOpen = false
    const later = request({ credits: 5 })
    await expect(metering.charge(later)).rejects.toMatchObject({ reason: 'database_unavailable' })
    await expect(metering.charge(later)).rejects.toMatchObject({ reason: 'database_unavailable' })
    gate.isOpen = true
    const answer = await metering.charge(later)
    expect(answer).toMatchObject({ verdict: 'charged', remaining: 999_994, replayed: false })
    expect(await metering.charge(later)).toEqual({ ...answer, replayed: true })

    // The charge is committed, but the answers to all attempts are lost.
    gate.losesAnswers = Number.POSITIVE_INFINITY
    const lost = request({ credits: 4 })
    await expect(metering.charge(lost)).rejects.toMatchObject({ reason: 'database_unavailable' })
    gate.losesAnswers = 0
    expect(await metering.charge(lost)).toMatchObject({ verdict: 'charged', remaining: 999_990, replayed: true })
    expect(await eventCount()).toBe(3)
  })
})

describe('when an old primary stays up after a failover', () => {
  it('connections to the old primary are closed, and charges succeed on connections to the new primary', async () => {
    const { owner, name } = database
    const db = createDb(database.urls.api, () => {})
    const metering = engine({ db })
    // A connection that is opened now stays read-only, like a connection to the old primary after a failover.
    await owner.query(`alter database ${name} set default_transaction_read_only = on`)
    await expect(metering.charge(request())).rejects.toMatchObject({ reason: 'database_unavailable' })
    await owner.query(`alter database ${name} reset default_transaction_read_only`)
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
    await db.destroy()
  })
})

describe('when Postgres hangs', () => {
  const WITHIN_MS = 1500
  /**
   * Returns the outcome of a call, and its duration. The timer of `isLate` runs in the same process as the call, so a busy
   * machine delays both, and `isLate` stays right.
   */
  const timed = async (call: Promise<ChargeVerdict>, lateAfterMs = 2 * WITHIN_MS) => {
    const start = performance.now()
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
    }, lateAfterMs)
    const outcome = await call.then(
      ({ verdict }) => verdict,
      ({ reason }) => reason,
    )
    clearTimeout(timer)
    return { outcome, isLate, ms: performance.now() - start }
  }
  afterEach(() => gate.resume('deliver'))

  it('a call fails at its own deadline, whether its batch is in flight or it waits for the next batch, and can be retried', async () => {
    const metering = engine({ db: proxied, answeredWithinMs: WITHIN_MS })
    await metering.charge(request())
    gate.hang()
    const items = many(3)
    const failed = new Set<number>()
    const calls: ReturnType<typeof timed>[] = []
    for (const [n, item] of items.entries()) {
      if (n > 0) await sleep(WITHIN_MS / 3)
      calls.push(timed(metering.charge(item).finally(() => failed.add(n))))
    }
    for (const [n, call] of calls.entries()) {
      const { outcome, isLate, ms } = await call
      expect(outcome).toBe('database_unavailable')
      expect(ms).toBeGreaterThan(WITHIN_MS - 50)
      expect(isLate).toBe(false)
      // The waiting calls are in the same batch, but each call fails at its own deadline.
      for (let microtask = 0; microtask < 20; microtask++) await null
      expect([...failed]).toEqual(items.slice(0, n + 1).map((_, i) => i))
    }
    gate.resume('deliver')
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
    for (const item of items) expect(await metering.charge(item)).toMatchObject({ verdict: 'charged' })
    for (const item of items) expect(await metering.charge(item)).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await eventCount()).toBe(5)
  })

  it('a batch that was sent can still be charged after its calls have failed, but only once', async () => {
    const metering = engine({ db: proxied, answeredWithinMs: WITHIN_MS })
    await metering.charge(request())
    gate.hang()
    const requests = many(CHARGES_MAX)
    for (const result of await Promise.allSettled(requests.map((item) => metering.charge(item))))
      expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
    gate.resume('deliver')
    while ((await eventCount()) === 1) await sleep(20)
    expect(await eventCount()).toBe(1 + CHARGES_MAX)
    for (const verdict of await chargeAll(engine({ db: proxied }), requests))
      expect(verdict).toMatchObject({ verdict: 'charged', replayed: true })
    expect(await eventCount()).toBe(1 + CHARGES_MAX)
  })

  it('all calls are charged if Postgres continues before their deadline', async () => {
    const metering = engine({ db: proxied })
    await metering.charge(request())
    gate.hang()
    const calls = many(3).map((item) => metering.charge(item))
    await sleep(WITHIN_MS)
    gate.resume('deliver')
    expect((await Promise.all(calls)).every(isCharged)).toBe(true)
    expect(await eventCount()).toBe(4)
  })

  it('calls that failed at their deadline no longer count as waiting', async () => {
    const metering = engine({ db: proxied, answeredWithinMs: WITHIN_MS, waitingMax: 3 })
    gate.hang()
    const calls = many(3).map((item) => metering.charge(item))
    expect(await metering.charge(request())).toMatchObject({ verdict: 'overloaded' })
    await Promise.allSettled(calls)
    gate.resume('deliver')
    expect(await metering.charge(request())).toMatchObject({ verdict: 'charged' })
  })

  it('the calls of a batch that waits for a locked table fail at their deadline, and the next batch is sent', async () => {
    const metering = engine({ db: proxied, answeredWithinMs: 2 * WITHIN_MS })
    const others = await Promise.all(Array.from({ length: 3 }, async () => await provisioned(database)))
    const holder = await database.owner.connect()
    await holder.query('begin')
    // A batch leaves out a locked account, but it waits for a lock of the whole table, for at most 1 s.
    await holder.query('lock table billing_accounts in exclusive mode')
    const keys = [account, ...others].map(({ defaultKey }) => defaultKey.secret)
    const calls = keys.map(async (key) => await timed(metering.charge(request({ key })), 4 * WITHIN_MS))
    // The connection hangs before the batch has waited for 1 s.
    await sleep(WITHIN_MS / 3)
    gate.hang()
    for (const { outcome, isLate } of await Promise.all(calls)) {
      expect(outcome).toBe('database_unavailable')
      expect(isLate).toBe(false)
    }
    await holder.query('rollback')
    holder.release()
    // The connections that hang get no answer, even after this call.
    gate.resume('lose')
    const key = others[0]?.defaultKey.secret ?? ''
    expect(await metering.charge(request({ key }))).toMatchObject({ verdict: 'charged' })
  })

  it('a batch on a connection that hangs is sent again on another connection, and charged once', async () => {
    const own = createDb(database.urls.api, () => {}, { connectionsMax: 3 })
    const metering = engine({ db: own })
    await metering.charge(request())
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(own)
    const pid = rows[0]?.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    try {
      const item = request({ credits: 7 })
      const answer = await metering.charge(item)
      expect(answer).toMatchObject({ verdict: 'charged', credits: 7, replayed: false })
      process.kill(pid, 'SIGCONT')
      // The stopped Postgres process now continues and decides the same batch for the second time.
      const late = sql<{
        state: string
      }>`select state from pg_stat_activity where pid = ${pid} and query like ${'%meter_batch%'}`
      while ((await late.execute(database.db)).rows[0]?.state !== 'idle') await sleep(20)
      expect(await metering.charge(item)).toEqual({ ...answer, replayed: true })
      expect(await eventCount()).toBe(2)
    } finally {
      process.kill(pid, 'SIGCONT')
      await own.destroy()
    }
  })
})

/** A proxy in front of the real Postgres. A test can make it refuse connections, lose answers or hang. */
const gate = {
  isOpen: true,
  losesAnswers: 0,
  withheld: null as (() => void)[] | null,
  /** From this call on, the proxy withholds all data in both directions, and keeps the connections open. */
  hang() {
    gate.withheld ??= []
  },
  /** From this call on, new data passes again. The withheld data is either delivered now or lost. */
  resume(how: 'deliver' | 'lose') {
    const withheld = gate.withheld ?? []
    gate.withheld = null
    if (how === 'deliver') for (const deliver of withheld) deliver()
  },
}
const sockets = new Set<Socket>()
const { server, url } = await startGate(database.urls.api)
const proxied = createDb(url, () => {})
afterAll(async () => {
  await proxied.destroy()
  for (const socket of sockets) socket.destroy()
  server.close()
})

async function startGate(target: string): Promise<{ server: Server; url: string }> {
  const { hostname, port } = new URL(target)
  const server = createServer((client) => {
    if (!gate.isOpen) return void client.destroy()
    const postgres = connect(Number(port), hostname)
    let isCharge = false
    const end = () => {
      client.destroy()
      postgres.destroy()
    }
    for (const socket of [client, postgres]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    client.on('data', (data) => {
      if (!gate.isOpen) return end()
      isCharge ||= data.includes('meter_batch')
      if (gate.withheld === null) postgres.write(data)
      else gate.withheld.push(() => postgres.write(data))
    })
    postgres.on('data', (data) => {
      // The message 'Z' means that Postgres is ready for the next statement, so the charge is committed.
      const isCommitted = isCharge && data.subarray(-6, -4).equals(Buffer.from('Z\0'))
      if (isCommitted) isCharge = false
      if (gate.withheld !== null) return void gate.withheld.push(() => client.write(data))
      if (!isCommitted || gate.losesAnswers === 0) return void client.write(data)
      gate.losesAnswers--
      end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the gate has no port')
  const through = new URL(target)
  through.host = `127.0.0.1:${address.port}`
  return { server, url: through.toString() }
}
