import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Charge, ChargeVerdict } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { naiveBoundary } from '../../test/naive-cycle.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import type { Call, Result, Work, Worked } from '../../test/worker.ts'
import { reconcile } from '../maintenance/reconcile.ts'

const PROCESSES = 4
const size = inject('isSoak')
  ? { charges: 10_000, credits: 1000, mixed: 16_000, amounts: 8000 }
  : { charges: 1200, credits: 400, mixed: 2000, amounts: 1500 }
/** Matches the warnings that the engine logs after a lock timeout. The engine recovers from lock timeouts by itself. */
const LOCK_WAS_AWAITED = /55P03|other sessions lock accounts/

const database = testDatabase()
const workers: ChildProcess[] = []
beforeAll(() => {
  const script = fileURLToPath(new URL('../../test/worker.ts', import.meta.url))
  for (let n = 0; n < PROCESSES; n++)
    workers.push(fork(script, [database.urls.api], { execPath: process.execPath, execArgv: [] }))
})
afterAll(async () => {
  await Promise.all(
    workers.map(async (worker) => {
      const ended = once(worker, 'exit')
      worker.disconnect()
      await ended
    }),
  )
})
afterEach(async () => {
  expect(await reconcile(database.ownerDb)).toEqual([])
  const { rows } = await database.owner.query('select deadlocks::int from pg_stat_database where datname = $1', [database.name])
  expect(rows).toEqual([{ deadlocks: 0 }])
})

/** Distributes the calls over the processes. Returns the results in the order of the calls. */
async function raced(calls: Call[], inFlight: number): Promise<Result[]> {
  const results: Result[] = []
  await Promise.all(
    workers.map(async (worker, w) => {
      const mine = [...calls.entries()].filter(([i]) => i % PROCESSES === w)
      const listening = new AbortController()
      const { signal } = listening
      const answered = Promise.race([
        once(worker, 'message', { signal }),
        once(worker, 'exit', { signal }).then(() => Promise.reject(new Error('a process ended'))),
      ])
      worker.send({ calls: mine.map(([, call]) => call), inFlight } satisfies Work)
      const [worked]: Worked[] = await answered.finally(() => listening.abort())
      // A deadlock (40P01) would be one of the warnings and fail the test. Warnings about lock timeouts are ignored,
      // because they can occur on a busy machine.
      expect(worked?.warnings.filter((warning) => !LOCK_WAS_AWAITED.test(warning))).toEqual([])
      for (const [n, [i]] of mine.entries()) {
        const result = worked?.results[n]
        if (result !== undefined) results[i] = result
      }
    }),
  )
  expect(Object.keys(results)).toHaveLength(calls.length)
  return results
}

let idempotencyKeys = 0
const request = (key: string, credits = 1): Charge => ({
  key,
  credits,
  idempotencyKey: credits === 0 ? null : `r-${idempotencyKeys++}`,
  operation: 'default',
})
const charge = (item: Charge): Call => ({ type: 'charge', request: item })
const verdictsOf = (results: Result[]): ChargeVerdict[] =>
  results.flatMap((result) => {
    if ('verdicts' in result) return result.verdicts
    throw new Error(`a charge was not decided: ${JSON.stringify(result)}`)
  })
const counted = (verdicts: ChargeVerdict[]) => {
  const counts: Record<string, number> = {}
  for (const { verdict } of verdicts) counts[verdict] = (counts[verdict] ?? 0) + 1
  return counts
}
const setCredits = async (userId: string, credits: number) =>
  await database.owner.query('update billing_accounts set credits_per_cycle = $2 where user_id = $1', [userId, credits])
const eventsOf = async (userId: string) =>
  (
    await database.owner.query('select sequence::int, verdict from api_key_usage where user_id = $1 order by sequence', [
      userId,
    ])
  ).rows
/** Returns a verdict as JSON without the value of `replayed`, in which a retry differs from the first answer. */
const same = (verdict: ChargeVerdict) => JSON.stringify({ ...verdict, replayed: null })

/** Creates accounts with several keys each. Every third key has a credit limit. */
async function accounts(count: number, keysEach: number) {
  const all: { userId: string; keys: { id: string; secret: string }[] }[] = []
  for (let n = 0; n < count; n++) {
    const { userId, caller, defaultKey } = await provisioned(database)
    const keys = [{ id: defaultKey.id, secret: defaultKey.secret }]
    while (keys.length < keysEach) {
      const { id, secret } = await caller.keys.create({
        name: `key ${keys.length}`,
        creditLimit: keys.length % 3 === 0 ? 150 : null,
      })
      keys.push({ id, secret })
    }
    all.push({ userId, keys })
  }
  return all
}
function numbers(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
function at<T>(all: readonly T[], n: number): T {
  const found = all[n]
  if (found === undefined) throw new RangeError(`${n} of ${all.length}`)
  return found
}

/** Returns how many credits the verdicts charged to each account. Each idempotency key counts once. */
function chargedBy(calls: Charge[], verdicts: ChargeVerdict[]): Map<string, number> {
  const sums = new Map<string, number>()
  const seen = new Set<string>()
  for (const [i, verdict] of verdicts.entries()) {
    const { idempotencyKey } = at(calls, i)
    if (verdict.verdict !== 'charged' || idempotencyKey === null || seen.has(idempotencyKey)) continue
    seen.add(idempotencyKey)
    sums.set(verdict.accountId, (sums.get(verdict.accountId) ?? 0) + verdict.credits)
  }
  return sums
}
async function expectBalances(sums: Map<string, number>, userIds: string[]): Promise<void> {
  const { rows } = await database.owner.query(
    'select user_id as "userId", credits_used::int as used from billing_accounts where user_id = any($1)',
    [userIds],
  )
  expect(Object.fromEntries(rows.map(({ userId, used }) => [userId, used]))).toEqual(
    Object.fromEntries(userIds.map((userId) => [userId, sums.get(userId) ?? 0])),
  )
}

describe('when several processes charge', () => {
  it('exactly as many charges succeed as there are credits', async () => {
    const { userId, defaultKey } = await provisioned(database)
    await setCredits(userId, size.credits)
    const calls = Array.from({ length: size.charges }, () => charge(request(defaultKey.secret)))
    const verdicts = verdictsOf(await raced(calls, 200))
    expect(counted(verdicts)).toEqual({ charged: size.credits, insufficient_credits: size.charges - size.credits })
    const left = verdicts.flatMap((verdict) => (verdict.verdict === 'charged' ? [verdict.remaining] : []))
    expect(left.toSorted((a, b) => a - b)).toEqual(Array.from({ length: size.credits }, (_, n) => n))
  })

  it('concurrent requests with one idempotency key make one charge, and every caller gets the same verdict', async () => {
    const { userId, defaultKey } = await provisioned(database)
    const once = charge(request(defaultKey.secret, 5))
    const verdicts = verdictsOf(
      await raced(
        Array.from({ length: 100 }, () => once),
        25,
      ),
    )
    expect(new Set(verdicts.map(same)).size).toBe(1)
    expect(verdicts.filter((verdict) => 'replayed' in verdict && !verdict.replayed)).toHaveLength(1)
    expect(await eventsOf(userId)).toEqual([{ sequence: 1, verdict: 'charged' }])
  })

  it('charges of any amounts on many keys of many accounts add up to exactly the balances', async () => {
    const all = await accounts(20, 10)
    const random = numbers(1)
    const requests = Array.from({ length: size.amounts }, () => {
      const { keys } = at(all, random(20))
      return request(at(keys, random(10)).secret, 1 + random(50))
    })
    const verdicts = verdictsOf(await raced(requests.map(charge), 100))
    expect(counted(verdicts)).toMatchObject({ charged: expect.any(Number), insufficient_credits: expect.any(Number) })
    await expectBalances(
      chargedBy(requests, verdicts),
      all.map(({ userId }) => userId),
    )
  })

  it('charges, retries, verifications, changes of keys and sign-ups never deadlock', async () => {
    const all = await accounts(20, 10)
    const random = numbers(2)
    const sent: Charge[] = []
    const calls: Call[] = []
    const one = () => request(at(at(all, random(20)).keys, random(10)).secret, 1 + random(5))
    while (calls.length < size.mixed) {
      const dice = random(100)
      const { userId, keys } = at(all, random(20))
      // Rotate, disable and enable only two keys of each account, so that the other keys stay active.
      const { id } = at(keys, random(2))
      if (dice < 55 || sent.length === 0) {
        const item = one()
        sent.push(item)
        calls.push(charge(item))
      } else if (dice < 65) {
        calls.push(charge(at(sent, sent.length - 1 - random(Math.min(sent.length, 50)))))
      } else if (dice < 75) {
        calls.push(charge(request(at(keys, random(10)).secret, 0)))
      } else if (dice < 85) {
        const items = Array.from({ length: 20 }, one)
        sent.push(...items)
        calls.push({ type: 'chargeMany', requests: items })
      } else if (dice < 98) {
        calls.push({ type: at(['rotate', 'disable', 'enable', 'enable'] as const, random(4)), userId, id })
      } else if (dice < 99) {
        calls.push({ type: 'revoke', userId, id: at(keys, 2).id })
      } else {
        const newUser = await database.createUser()
        for (let n = 0; n < PROCESSES; n++) calls.push({ type: 'provision', userId: newUser })
      }
    }
    const results = await raced(calls, 60)
    const failed = results.flatMap((result) => ('error' in result ? [result.error] : []))
    expect(failed).toEqual([])

    const requests: Charge[] = []
    const verdicts: ChargeVerdict[] = []
    const told = new Map<string, string>()
    for (const [i, call] of calls.entries()) {
      if (call.type !== 'charge' && call.type !== 'chargeMany') continue
      requests.push(...(call.type === 'charge' ? [call.request] : call.requests))
      verdicts.push(...verdictsOf([at(results, i)]))
    }
    expect(verdicts).toHaveLength(requests.length)
    for (const [i, verdict] of verdicts.entries()) {
      const { idempotencyKey } = at(requests, i)
      if (idempotencyKey === null) continue
      expect(same(verdict)).toBe(told.get(idempotencyKey) ?? same(verdict))
      told.set(idempotencyKey, same(verdict))
    }
    await expectBalances(
      chargedBy(requests, verdicts),
      all.map(({ userId }) => userId),
    )
  })

  it('a key is not charged after the answer to its revoke, even if charges and rotations of the key run concurrently', async () => {
    const { userId, caller, defaultKey } = await provisioned(database)
    await setCredits(userId, 1_000_000)
    const { id, secret } = defaultKey
    const calls = Array.from(
      { length: 1200 },
      (_, n): Call => (n % 100 === 50 ? { type: 'rotate', userId, id } : charge(request(secret))),
    )
    const racing = raced(calls, 10)
    while ((await eventsOf(userId)).length < 200) await sleep(5)
    await caller.keys.revoke({ id })
    const answeredAt = (await eventsOf(userId)).length
    const results = await racing
    const events = await eventsOf(userId)
    expect(events.slice(answeredAt).filter(({ verdict }) => verdict !== 'revoked')).toEqual([])
    const first = events.findIndex(({ verdict }) => verdict === 'revoked')
    // The first refusal shows that the revoke was committed before the last charge. Every charge after the first refusal
    // must be refused too.
    expect(first).toBeGreaterThan(0)
    expect(new Set(events.slice(first).map(({ verdict }) => verdict))).toEqual(new Set(['revoked']))
    const refused = results.flatMap((result) => ('error' in result ? [result.error] : []))
    expect(refused.filter((reason) => reason !== 'key_revoked')).toEqual([])
  })
})

// This test replaces the clock of the database and does not restore it, so it must be the last test of this file.
describe('when a cycle ends under load', () => {
  it('each charge counts in the cycle that its verdict names, and the closed cycle keeps its total', async () => {
    const clock = await replaceClock(database)
    await keepUsageByDaysFrom(database, 1)
    const anchor = new Date('2027-01-31T23:59:59.999Z')
    const boundary = naiveBoundary(anchor, 1)
    const all = await accounts(3, 1)
    const userIds = all.map(({ userId }) => userId)
    await clock.set(new Date(boundary.getTime() - 100))
    await database.owner.query(
      'update billing_accounts set credits_per_cycle = 100000, billing_cycle_anchor = $2, billing_cycle_start = $2 where user_id = any($1)',
      [userIds, anchor],
    )
    const requests = Array.from({ length: size.charges }, (_, n) => request(at(at(all, n % 3).keys, 0).secret, 1 + (n % 7)))
    const racing = raced(requests.map(charge), 20)
    let passed = -100
    while (passed < 100) {
      await sleep(1)
      const { rows } = await database.owner.query(
        'select sum(last_event_sequence)::int as events from billing_accounts where user_id = any($1)',
        [userIds],
      )
      // Move the clock with the number of decided charges, so that half of them are decided when the clock reaches the
      // boundary.
      passed = Math.max(passed, Math.round((rows[0].events / size.charges) * 300) - 150)
      await clock.set(new Date(boundary.getTime() + passed))
    }
    const verdicts = verdictsOf(await racing)
    const ends = [boundary, naiveBoundary(anchor, 2)].map((end) => end.toISOString())
    const told = new Map<string, number>()
    for (const verdict of verdicts) {
      if (verdict.verdict !== 'charged') throw new Error(`${verdict.verdict} instead of charged`)
      const of = `${verdict.accountId} ${verdict.cycleEnd}`
      told.set(of, (told.get(of) ?? 0) + verdict.credits)
    }
    const { rows } = await database.owner.query(
      `select user_id || ' ' || to_char(cycle_end at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "of", credits_used::int as used
         from (select user_id, cycle_end, credits_used from billing_cycles
               union all select user_id, billing_cycle_end, credits_used from billing_accounts) c where user_id = any($1)`,
      [userIds],
    )
    expect(Object.fromEntries(rows.map(({ of, used }) => [of, used]))).toEqual(Object.fromEntries(told))
    // Each account must have charges in both cycles.
    expect([...told.keys()].toSorted()).toEqual(userIds.flatMap((userId) => ends.map((end) => `${userId} ${end}`)).toSorted())
  })
})
