import { randomInt, randomUUID } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CHARGES_MAX, type Charge, type Verdict } from '@keymeter/contract'
import { createDb, type Db } from '@keymeter/db'
import { type KyselyPlugin, sql } from 'kysely'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { mintToken } from '../keys/token.ts'
import { createMetering, type MeteringOptions } from './metering.ts'

const database = reconciledDatabase()
const log = pino({ level: 'silent' })
let account: Awaited<ReturnType<typeof provisioned>>
beforeEach(async () => {
  account = await provisioned(database)
  await database.owner.query('update billing_accounts set credits_per_cycle = 1000000 where user_id = $1', [account.userId])
})

/** Counts the statements that reach the database. */
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
const engine = (options: Partial<MeteringOptions> = {}) => createMetering({ db: database.db, keyBrand: 'km', log, ...options })
const many = (count: number) => Array.from({ length: count }, () => request())
const isCharged = ({ verdict }: Verdict) => verdict === 'charged'
const eventCount = async () =>
  (await database.owner.query('select count(*)::int as events from api_key_usage where user_id = $1', [account.userId])).rows[0]
    .events

describe.each(['all', 'account'] as const)('with lanes: %s, the engine', (lanes) => {
  it('sends a lone call at once, and calls of one tick together', async () => {
    const { db, count } = counted(database.db)
    const { charge } = engine({ db, lanes })
    expect(await charge(request())).toMatchObject({ verdict: 'charged' })
    expect(count.statements).toBe(1)
    const verdicts = await Promise.all(many(20).map(charge))
    expect(verdicts.every(isCharged)).toBe(true)
    expect(count.statements).toBe(2)
  })

  it('sends at most 500 at once, and while a batch is away gathers the next', async () => {
    const { charge } = engine({ lanes })
    const first = many(CHARGES_MAX + 1).map(charge)
    await sleep(0)
    const rest = many(CHARGES_MAX).map(charge)
    expect((await Promise.all([...first, ...rest])).every(isCharged)).toBe(true)
    // Events of one transaction were one batch.
    const { rows } = await database.owner.query(
      'select count(*)::int as size from api_key_usage where user_id = $1 group by xmin::text order by min(sequence)',
      [account.userId],
    )
    expect(rows.map(({ size }) => size)).toEqual([CHARGES_MAX, CHARGES_MAX, 1])
  })

  it('decides the calls of a batch in their order', async () => {
    const verdicts = await engine({ lanes }).chargeMany(many(50))
    expect(verdicts.map((verdict) => 'remaining' in verdict && verdict.remaining)).toEqual(verdicts.map((_, n) => 999_999 - n))
  })

  it('tells a call past what may wait at once, with when to come again, and charges nothing for it', async () => {
    const { charge } = engine({ lanes, waitingMax: 10 })
    let answered = 0
    const waiting = many(10).map(async (item) => await charge(item).finally(() => answered++))
    expect(await charge(request())).toEqual({ verdict: 'overloaded', retryAfterMs: expect.any(Number) })
    expect(answered).toBe(0)
    expect((await Promise.all(waiting)).every(isCharged)).toBe(true)
    expect(await charge(request())).toMatchObject({ verdict: 'charged' })
    expect(await eventCount()).toBe(11)
  })

  it('does not ask the database about what is no token', async () => {
    const { db, count } = counted(database.db)
    expect(await engine({ db, lanes }).charge(request({ key: 'nonsense' }))).toEqual({ verdict: 'not_found' })
    expect(count.statements).toBe(0)
  })
})

it('has a lane for each account, or one for all', async () => {
  const other = await provisioned(database)
  for (const [lanes, statements] of [
    ['all', 1],
    ['account', 2],
  ] as const) {
    const { db, count } = counted(database.db)
    await engine({ db, lanes }).chargeMany([request(), request({ key: other.defaultKey.secret }), request()])
    expect(count.statements).toBe(statements)
  }
})

describe('chargeMany', () => {
  it('takes 500 and refuses 501 as a whole', async () => {
    const { db, count } = counted(database.db)
    const { chargeMany } = engine({ db })
    const verdicts = await chargeMany(many(CHARGES_MAX))
    expect(verdicts).toHaveLength(CHARGES_MAX)
    expect(verdicts.every(isCharged)).toBe(true)
    expect(count.statements).toBe(1)
    await expect(chargeMany(many(CHARGES_MAX + 1))).rejects.toMatchObject({ reason: 'bad_request' })
    expect(await eventCount()).toBe(CHARGES_MAX)
  })

  it('of nothing is nothing', async () => {
    expect(await engine().chargeMany([])).toEqual([])
  })
})

describe('an item that the database cannot take', () => {
  it('fails alone: those beside it are charged, once', async () => {
    const { charge } = engine()
    const key = mintToken('km', 'dev', account.userId)
    const results = await Promise.allSettled([
      charge(request()),
      charge(request({ operation: 'a\0b' })),
      charge(request({ key })),
      charge(request({ operation: 'Not allowed' })),
      charge(request()),
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
  it('every call is answered, and is charged once however often it is tried', async () => {
    const { charge } = engine()
    // The server's own role may end its connections.
    const breaker = createDb(database.urls.api, () => {}, { connectionsMax: 1 })
    const requests = many(3000)
    const answers = new Map<string | null, Verdict>()
    let isDone = false
    const breaking = (async () => {
      let broken = 0
      while (!isDone) {
        const { rows } = await sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = ${database.name} and usename = current_user and pid <> pg_backend_pid()`.execute(breaker)
        broken += rows.length
        // However long it takes to sign in on a busy machine: broken again before, nothing would ever be answered.
        for (const until = answers.size + 50; answers.size < until && !isDone; ) await sleep(1)
        await sleep(randomInt(20))
      }
      return broken
    })()
    const pending = [...requests]
    const client = async () => {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
        const result = await charge(next).catch((error: unknown) => {
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

  it('a charge that was committed before its answer was lost is answered all the same, once', async () => {
    const { charge } = engine({ db: proxied })
    expect(await charge(request())).toMatchObject({ verdict: 'charged', replayed: false })
    gate.losesAnswers = 1
    expect(await charge(request({ credits: 7 }))).toMatchObject({
      verdict: 'charged',
      credits: 7,
      remaining: 999_992,
      replayed: true,
    })
    expect(gate.losesAnswers).toBe(0)
    expect(await eventCount()).toBe(2)
  })

  it('and the database stays away, the call says so, and a later retry is exact', async () => {
    const { charge } = engine({ db: proxied })
    expect(await charge(request())).toMatchObject({ verdict: 'charged' })
    gate.isOpen = false
    const later = request({ credits: 5 })
    await expect(charge(later)).rejects.toMatchObject({ reason: 'database_unavailable' })
    await expect(charge(later)).rejects.toMatchObject({ reason: 'database_unavailable' })
    gate.isOpen = true
    const answer = await charge(later)
    expect(answer).toMatchObject({ verdict: 'charged', remaining: 999_994, replayed: false })
    expect(await charge(later)).toEqual({ ...answer, replayed: true })

    // Committed, and no attempt ever heard of it.
    gate.losesAnswers = Number.POSITIVE_INFINITY
    const lost = request({ credits: 4 })
    await expect(charge(lost)).rejects.toMatchObject({ reason: 'database_unavailable' })
    gate.losesAnswers = 0
    expect(await charge(lost)).toMatchObject({ verdict: 'charged', remaining: 999_990, replayed: true })
    expect(await eventCount()).toBe(3)
  })
})

describe('when Postgres hangs', () => {
  const WITHIN_MS = 1500
  /** The outcome of a call, and when it was told. */
  const timed = async (call: Promise<Verdict>) => {
    const start = performance.now()
    const outcome = await call.then(
      ({ verdict }) => verdict,
      ({ reason }) => reason,
    )
    const at = performance.now()
    return { outcome, at, ms: at - start }
  }
  afterEach(() => gate.resume('deliver'))

  describe.each(['all', 'account'] as const)('with lanes: %s', (lanes) => {
    it('a call is told so when its time is over, also one that waits behind others, and both can be retried', async () => {
      const { charge } = engine({ db: proxied, lanes, answeredWithinMs: WITHIN_MS })
      await charge(request())
      gate.hang()
      const [sent, ...waiting] = many(3)
      if (sent === undefined) throw new Error('nothing is sent')
      const calls = [timed(charge(sent))]
      for (const item of waiting) {
        await sleep(WITHIN_MS / 3)
        calls.push(timed(charge(item)))
      }
      const told = await Promise.all(calls)
      for (const { outcome, ms } of told) {
        expect(outcome).toBe('database_unavailable')
        expect(ms).toBeGreaterThan(WITHIN_MS - 50)
        expect(ms).toBeLessThan(2 * WITHIN_MS)
      }
      // Those that waited share a batch, and each has its own time.
      expect((told[2]?.at ?? 0) - (told[1]?.at ?? 0)).toBeGreaterThan(WITHIN_MS / 6)
      gate.resume('deliver')
      expect(await timed(charge(request()))).toMatchObject({ outcome: 'charged' })
      for (const item of [sent, ...waiting]) expect(await charge(item)).toMatchObject({ verdict: 'charged' })
      for (const item of [sent, ...waiting]) expect(await charge(item)).toMatchObject({ verdict: 'charged', replayed: true })
      expect(await eventCount()).toBe(5)
    })

    it('what was sent may be charged later, once', async () => {
      const { charge } = engine({ db: proxied, lanes, answeredWithinMs: WITHIN_MS })
      await charge(request())
      gate.hang()
      const requests = many(CHARGES_MAX)
      for (const result of await Promise.allSettled(requests.map(charge)))
        expect(result).toMatchObject({ reason: { reason: 'database_unavailable' } })
      gate.resume('deliver')
      await expect.poll(eventCount, { timeout: 20_000 }).toBe(1 + CHARGES_MAX)
      for (const verdict of await Promise.all(requests.map(charge)))
        expect(verdict).toMatchObject({ verdict: 'charged', replayed: true })
      expect(await eventCount()).toBe(1 + CHARGES_MAX)
    })
  })

  it('for less than a call may wait, all are charged', async () => {
    const { charge } = engine({ db: proxied, answeredWithinMs: 2 * WITHIN_MS })
    await charge(request())
    gate.hang()
    const calls = many(3).map(charge)
    await sleep(WITHIN_MS)
    gate.resume('deliver')
    expect((await Promise.all(calls)).every(isCharged)).toBe(true)
    expect(await eventCount()).toBe(4)
  })

  it('those that waited do not count as waiting any more', async () => {
    const { charge } = engine({ db: proxied, answeredWithinMs: WITHIN_MS, waitingMax: 3 })
    gate.hang()
    const calls = many(3).map(charge)
    expect(await charge(request())).toMatchObject({ verdict: 'overloaded' })
    await Promise.allSettled(calls)
    gate.resume('deliver')
    expect(await charge(request())).toMatchObject({ verdict: 'charged' })
  })

  it('while a batch waits for a locked account, its calls are rejected in time, and the lane goes on', async () => {
    const { charge } = engine({ db: proxied, answeredWithinMs: 2 * WITHIN_MS })
    const others = await Promise.all(Array.from({ length: 3 }, async () => await provisioned(database)))
    const holder = await database.owner.connect()
    await holder.query('begin')
    await holder.query('select 1 from billing_accounts where user_id = $1 for update', [account.userId])
    const keys = [account, ...others].map(({ defaultKey }) => defaultKey.secret)
    const calls = keys.map(async (key) => await timed(charge(request({ key }))))
    // The batch waits for the lock for 1 s.
    await sleep(WITHIN_MS / 3)
    gate.hang()
    for (const { outcome, ms } of await Promise.all(calls)) {
      expect(outcome).toBe('database_unavailable')
      expect(ms).toBeLessThan(4 * WITHIN_MS)
    }
    await holder.query('rollback')
    holder.release()
    // What hung is lost: nothing ever answers on those connections.
    gate.resume('lose')
    const key = others[0]?.defaultKey.secret ?? ''
    expect(await timed(charge(request({ key })))).toMatchObject({ outcome: 'charged' })
  })

  it('one process of it alone, its batch is sent again on another connection, and charged once', async () => {
    const own = createDb(database.urls.api, () => {}, { connectionsMax: 3 })
    const { charge } = engine({ db: own })
    await charge(request())
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(own)
    const pid = rows[0]?.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    try {
      const item = request({ credits: 7 })
      const answer = await charge(item)
      expect(answer).toMatchObject({ verdict: 'charged', credits: 7, replayed: false })
      process.kill(pid, 'SIGCONT')
      // It decides the same batch again, late.
      const lateOnes = sql`select state from pg_stat_activity where pid = ${pid} and query like ${'%meter_batch%'}`
      await expect
        .poll(async () => (await lateOnes.execute(database.db)).rows, { timeout: 20_000 })
        .toEqual([{ state: 'idle' }])
      expect(await charge(item)).toEqual({ ...answer, replayed: true })
      expect(await eventCount()).toBe(2)
    } finally {
      process.kill(pid, 'SIGCONT')
      await own.destroy()
    }
  })
})

/** The way to the real Postgres, which a test closes, or which takes calls there and loses what comes back, or which hangs. */
const gate = {
  isOpen: true,
  losesAnswers: 0,
  withheld: null as (() => void)[] | null,
  /** Nothing goes through from here on, to Postgres or back, and nobody is told. */
  hang() {
    gate.withheld ??= []
  },
  /** New connections work; what hung arrives late, or never. */
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
      // Ready for the next statement ('Z'): the one before is committed.
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
