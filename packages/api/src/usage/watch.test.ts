import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { STREAMS_PER_ACCOUNT_MAX } from '@keymeter/contract'
import { createDb } from '@keymeter/db'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { charge, contextOf, provisioned, SERVICE_KEY } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { Metering } from '../metering/metering.ts'
import { appRouter } from '../router.ts'
import { inAccount } from '../scope.ts'
import { announceUsage, createUsageAnnouncer, listenForUsage } from './announcements.ts'
import { usageSnapshot } from './snapshot.ts'
import { UsageWatch } from './watch.ts'

const database = reconciledDatabase()
const log = pino({ level: 'silent' })
const HOUR_MS = 3_600_000
/**
 * Snapshots must come within this time. It is less than the 15 seconds after which an account is read even without an
 * announcement.
 */
const BEFORE_REREAD_MS = 10_000

let account: Awaited<ReturnType<typeof provisioned>>
let usageWatch: UsageWatch
let reads: number
/** The sequence of the last snapshot that was read. */
let lastRead: number
beforeEach(async () => {
  account = await provisioned(database)
  usageWatch = new UsageWatch(log)
  reads = 0
  lastRead = 0
})
afterEach(() => usageWatch.close())

const readAs = (userId: string) => async () => {
  const snapshot = await inAccount({ ...contextOf(database, null), userId, by: null }, 'read only', usageSnapshot)
  reads++
  lastRead = snapshot?.sequence ?? 0
  return { snapshot, memberIds: new Set([userId]), needsSecondFactor: false }
}
const watch = (userId = account.userId, endsAt = new Date(Date.now() + HOUR_MS), signal?: AbortSignal) =>
  usageWatch.watch(userId, { userId, isSecondFactor: false }, readAs(userId), { endsAt, signal })
const next = async (stream: ReturnType<typeof watch>) => (await stream.next()).value
const spend = async (credits: number) => {
  expect(await charge(database, account.defaultKey.secret, credits)).toMatchObject({ verdict: 'charged' })
  usageWatch.refresh([account.userId])
}

describe('a watcher of an account', () => {
  it('shares each read with all other watchers', async () => {
    const streams = Array.from({ length: STREAMS_PER_ACCOUNT_MAX }, () => watch())
    for (const first of await Promise.all(streams.map(next))) expect(first).toMatchObject({ sequence: 0, creditsUsed: 0 })
    await spend(3)
    for (const second of await Promise.all(streams.map(next)))
      expect(second).toMatchObject({ sequence: 1, creditsUsed: 3, creditsRemaining: 997 })
    // The first stream perhaps starts a read before the other streams are open, so there can be one more read.
    expect(reads).toBeLessThanOrEqual(3)
  })

  it('gets only the latest snapshot if the watcher reads slowly', async () => {
    const stream = watch()
    await next(stream)
    for (let credits = 1; credits <= 5; credits++) {
      await spend(credits)
      await expect.poll(() => lastRead).toBe(credits)
    }
    expect(await next(stream)).toMatchObject({ sequence: 5, creditsUsed: 15 })
    await spend(1)
    expect(await next(stream)).toMatchObject({ sequence: 6, creditsUsed: 16 })
  })

  it('gets no snapshot if an announcement comes without a change of the account', async () => {
    const stream = watch()
    await next(stream)
    const later = next(stream)
    for (let n = 2; n < 5; n++) {
      usageWatch.refreshAll()
      await expect.poll(() => reads).toBeGreaterThanOrEqual(n)
    }
    await spend(2)
    expect(await later).toMatchObject({ creditsUsed: 2 })
  })

  it('gets a snapshot with the credits that were spent during a read', async () => {
    let isFirst = true
    const read = async () => {
      const snapshot = await readAs(account.userId)()
      if (isFirst) await spend(6)
      isFirst = false
      return snapshot
    }
    const stream = usageWatch.watch(account.userId, { userId: account.userId, isSecondFactor: false }, read, {
      endsAt: new Date(Date.now() + HOUR_MS),
      signal: undefined,
    })
    expect(await next(stream)).toMatchObject({ creditsUsed: 0 })
    expect(await Promise.race([next(stream), sleep(BEFORE_REREAD_MS)])).toMatchObject({ creditsUsed: 6 })
  })

  it('gets a snapshot when the operator changes the account', async () => {
    const stream = watch()
    expect(await next(stream)).toMatchObject({ suspendedAt: null, plan: 'free', nextPlan: null })
    await database.owner.query("select keymeter.set_suspended($1, true, row('a test', null, null))", [account.userId])
    usageWatch.refresh([account.userId])
    expect(await Promise.race([next(stream), sleep(BEFORE_REREAD_MS)])).toMatchObject({ suspendedAt: expect.any(String) })
  })

  it('gets a snapshot with held credits, and a snapshot in which the settled credits count once', async () => {
    const stream = watch()
    await next(stream)
    const metering = new Metering({
      db: database.db,
      keyBrand: 'km',
      log,
      onDecided: (userIds) => usageWatch.refresh(userIds),
    })
    const held = await metering.hold({
      key: account.defaultKey.secret,
      credits: 100,
      idempotencyKey: 'held',
      operation: 'default',
      ttlSeconds: 60,
    })
    if (held.verdict !== 'held') throw new Error(held.verdict)
    expect(await next(stream)).toMatchObject({ creditsUsed: 0, creditsHeld: 100, creditsRemaining: 900 })
    await metering.settle({ holdId: held.holdId, credits: 30, idempotencyKey: 'settled' })
    expect(await next(stream)).toMatchObject({ creditsUsed: 30, creditsHeld: 0, creditsRemaining: 970 })
  })

  it('gets the next snapshot after a failed read', async () => {
    let isFailing = true
    let failures = 0
    const read = async () => {
      if (isFailing) throw new Error(`failure ${++failures}`)
      return await readAs(account.userId)()
    }
    const stream = usageWatch.watch(account.userId, { userId: account.userId, isSecondFactor: false }, read, {
      endsAt: new Date(Date.now() + HOUR_MS),
      signal: undefined,
    })
    const first = next(stream)
    await expect.poll(() => failures).toBe(1)
    isFailing = false
    await spend(4)
    expect(await first).toMatchObject({ creditsUsed: 4 })
  })

  it('gets the first snapshot as soon as the account exists', async () => {
    const userId = await database.createUser()
    const first = next(watch(userId))
    await expect.poll(() => reads).toBe(1)
    await database.owner.query(
      "select keymeter.create_account($1::uuid, $1::uuid, null, sha256($1::uuid::text::bytea), null, row('test', null, null))",
      [userId],
    )
    usageWatch.refreshAll()
    expect(await first).toMatchObject({ sequence: 0, creditsRemaining: 1000 })
  })

  it('no longer counts toward the limit of streams when its stream ends, even if the client does not read', async () => {
    const aborted = new AbortController()
    const open = async (endsAt: Date) => await next(watch(account.userId, endsAt, aborted.signal))
    const openHalf = async (endsAt: Date) =>
      void (await Promise.all(Array.from({ length: STREAMS_PER_ACCOUNT_MAX / 2 }, () => open(endsAt))))
    const [soon, late] = [new Date(Date.now() + 5_000), new Date(Date.now() + HOUR_MS)]
    await openHalf(soon)
    await openHalf(late)
    await expect(open(late)).rejects.toMatchObject({ reason: 'too_many_streams' })
    const isOpen = () =>
      open(late).then(
        () => true,
        () => false,
      )
    for (let n = 0; n < STREAMS_PER_ACCOUNT_MAX / 2; n++) await expect.poll(isOpen).toBe(true)
    await expect(open(late)).rejects.toMatchObject({ reason: 'too_many_streams' })
    aborted.abort()
    await next(watch())
  })

  it('the stream of a watcher ends when the call is aborted, the access token expires or the process stops', async () => {
    const gone = new AbortController()
    const streams = [watch(account.userId, undefined, gone.signal), watch(account.userId, new Date(Date.now() + 400)), watch()]
    const endOf = async (stream: ReturnType<typeof watch>) => {
      for (;;) await stream.next()
    }
    const ends = streams.map((stream) => endOf(stream).catch((error: Error) => error.name))
    await expect.poll(() => reads).toBeGreaterThan(0)
    gone.abort()
    expect(await ends[0]).toBe('AbortError')
    expect(await ends[1]).toBe('AbortError')
    usageWatch.close()
    expect(await ends[2]).toBe('AbortError')
    await expect(watch().next()).rejects.toMatchObject({ name: 'AbortError' })
    await expect(watch(account.userId, undefined, gone.signal).next()).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('an announcement', () => {
  /** Listens to announcements as another server process does. */
  const listenToAll = async () => {
    const told: string[] = []
    const listening = Promise.withResolvers<void>()
    const watch = { refresh: (userIds: Iterable<string>) => void told.push(...userIds), refreshAll: listening.resolve }
    const { close } = listenForUsage(database.urls.api, createUsageAnnouncer(database.db, watch, log), watch, log)
    await listening.promise
    /**
     * Returns the account ids of all announcements that were sent before this call. It sends a random id as the last
     * announcement and waits for it, because notifications keep their order.
     */
    const received = async () => {
      const mark = randomUUID()
      await announceUsage(database.db, [mark])
      await expect.poll(() => told).toContain(mark)
      return told.filter((userId) => userId !== mark)
    }
    return { received, close }
  }

  it('can name any number of accounts, and names each account once', async () => {
    const { received, close } = await listenToAll()
    const userIds = Array.from({ length: 1_001 }, () => randomUUID())
    const announcer = createUsageAnnouncer(database.db, usageWatch, log)
    announcer.announce(userIds.slice(0, 1))
    for (let n = 0; n < 3; n++) announcer.announce(userIds)
    await announcer.flush()
    const [first, ...others] = await received()
    expect(first).toBe(userIds[0])
    expect(others.sort()).toEqual([...userIds].sort())
    await close()
  })

  it('all waiting announcements are sent by a flush, e.g. at the end of the process', async () => {
    const { received, close } = await listenToAll()
    const stopping = createDb(database.urls.api, () => {})
    const announcer = createUsageAnnouncer(stopping, usageWatch, log)
    const userIds = [randomUUID(), randomUUID()]
    for (const userId of userIds) announcer.announce([userId])
    await announcer.flush()
    await stopping.destroy()
    expect(await received()).toEqual(userIds)
    await close()
  })

  it('is not needed in the process that charged or that the operator called, because it refreshes its own watchers', async () => {
    const refreshed: string[] = []
    class RecordedWatch extends UsageWatch {
      override refresh(userIds: Iterable<string>): void {
        refreshed.push(...userIds)
        super.refresh(userIds)
      }
    }
    const recorded = new RecordedWatch(log)
    const away = createDb('postgresql://keymeter_api@127.0.0.1:1/none', () => {})
    const announcer = createUsageAnnouncer(away, recorded, log)
    const metering = new Metering({ db: database.db, keyBrand: 'km', log, onDecided: announcer.announce })
    await metering.charge({ key: account.defaultKey.secret, credits: 8, idempotencyKey: 'local', operation: 'default' })
    expect(refreshed).toEqual([account.userId])

    const context = contextOf(database, null, { usageWatch: recorded })
    const operator = appRouter.createCaller({ ...context, authorization: `Bearer ${SERVICE_KEY}` }).operator
    await operator.grantTopUp({ accountId: account.userId, credits: 5, idempotencyKey: 'top-up' })
    expect(refreshed).toEqual([account.userId, account.userId])
    await announcer.flush()
    await away.destroy()
  })

  it('causes no second read in the process that sent it', async () => {
    const reread: string[][] = []
    const own = { refresh: (userIds: Iterable<string>) => void reread.push([...userIds]), refreshAll: () => {} }
    const announcer = createUsageAnnouncer(database.db, own, log)
    const { promise: isListening, resolve } = Promise.withResolvers<void>()
    const { close } = listenForUsage(database.urls.api, announcer, { ...own, refreshAll: resolve }, log)
    await isListening
    announcer.announce([account.userId])
    await announcer.flush()
    const mark = randomUUID()
    await announceUsage(database.db, [mark])
    await expect.poll(() => reread).toContainEqual([mark])
    expect(reread).toEqual([[account.userId], [mark]])
    await close()
  })

  it('charges succeed even if announcements cannot be sent', async () => {
    const away = createDb('postgresql://keymeter_api@127.0.0.1:1/none', () => {})
    const announcer = createUsageAnnouncer(away, usageWatch, log)
    const metering = new Metering({ db: database.db, keyBrand: 'km', log, onDecided: announcer.announce })
    for (let n = 0; n < 3; n++) {
      const request = { key: account.defaultKey.secret, credits: 1, idempotencyKey: `away-${n}`, operation: 'default' }
      expect(await metering.charge(request)).toMatchObject({ verdict: 'charged', remaining: 999 - n })
      await announcer.flush()
    }
    await away.destroy()
  })
})
