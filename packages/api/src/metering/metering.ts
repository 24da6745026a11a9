import { setTimeout as sleep } from 'node:timers/promises'
import {
  CHARGES_MAX,
  type Charge,
  type Hold,
  type HoldVerdict,
  type Refund,
  type RefundVerdict,
  type Release,
  type ReleaseVerdict,
  type Settle,
  type SettleVerdict,
  type Verdict,
} from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import { hashToken, parseToken } from '../keys/token.ts'
import { isConflict, isLockTimeout, isStatementTimeout, isUnavailable } from '../scope.ts'
import { parseEventId } from './event-id.ts'
import { Lane, type SendBatch, type Timed, type Waiting } from './lane.ts'
import { type Action, type BatchItem, type Decision, findLockedAccounts, meterBatch } from './meter-batch.ts'
import { toVerdict, type VerdictOf } from './verdict.ts'

/** Calls that wait at most; past it a call is told `overloaded` at once. */
const WAITING_MAX = 10_000
/** A call is answered within this time from when it came, waiting included, or told `database_unavailable`. */
const ANSWERED_WITHIN_MS = 10_000
/**
 * A batch that is not answered within this time is sent again, on another connection: this one is dead. Postgres itself
 * gives a statement of the server's role up after 5 s.
 */
const TRY_MS_MAX = 6_000
/** With less time left a batch is not sent: nobody would wait for the answer. */
const TRY_MS_MIN = 100
/** A batch whose connection broke, or that met a deadlock, is sent again this often, after these pauses. */
const RESEND_PAUSES_MS = [0, 50, 200, 1000]
const RETRY_AFTER_MS_MIN = 100
/** Accounts that may wait for their lock, each on a connection of the pool. Of more than these, charges are not taken on. */
const HELD_MAX = 4
/** A batch that is decided account by account keeps the next batch waiting for about this long, and one account more. */
const BY_ACCOUNT_MS_MAX = 2_000

export interface MeteringOptions {
  /** A pool of its own: charges must not wait behind the dashboard's calls. */
  db: Db
  keyBrand: string
  log: Logger
  /**
   * `all`: one batch at a time, of any accounts, which is the fastest on one Postgres. `account`: one batch at a time for
   * each account, for tables that are distributed by account.
   */
  lanes?: 'all' | 'account'
  waitingMax?: number
  /** Told of the accounts of each batch, once it is committed. It must not throw, and nobody waits for it. */
  onDecided?: (userIds: Iterable<string>) => void
  answeredWithinMs?: number
}

/** A request, and how long its caller waits. */
type Call = BatchItem & Timed
type WaitingCall = Waiting<Call, Decision>

/** The charge engine of one process. */
export interface Metering {
  /**
   * Takes credits for the key that `key` is the secret of, durably, before it answers.
   *
   * @throws AppError `database_unavailable` when it could not be decided in time. Trying again with the same idempotency key
   * is safe.
   */
  charge(request: Charge): Promise<Verdict>
  /** At most 500 of them, decided in their order, each with its own verdict. */
  chargeMany(requests: readonly Charge[]): Promise<Verdict[]>
  /** Takes credits for a while, until `settle` says what the work cost. As durable and as safe to retry as a charge; so are the next. */
  hold(request: Hold): Promise<HoldVerdict>
  /** Charges what the work cost, and gives the rest back. */
  settle(request: Settle): Promise<SettleVerdict>
  /** Gives all that is held back. */
  release(request: Release): Promise<ReleaseVerdict>
  /** Gives back what was charged, whole or in part. */
  refund(request: Refund): Promise<RefundVerdict>
}

export function createMetering({
  db,
  keyBrand,
  log,
  lanes = 'all',
  waitingMax = WAITING_MAX,
  answeredWithinMs = ANSWERED_WITHIN_MS,
  onDecided = () => {},
}: MeteringOptions): Metering {
  const open = new Map<string, Lane<Call, Decision>>()
  /** Accounts that somebody else holds the lock of. They wait in lanes of their own, so that nobody waits for them. */
  const held = new Set<string>()
  let waiting = 0
  let lastBatchMs = 0

  const laneOf = (userId: string) => {
    const name = lanes === 'account' || held.has(userId) ? userId : ''
    const lane = open.get(name) ?? new Lane<Call, Decision>(CHARGES_MAX, send, () => open.delete(name))
    open.set(name, lane)
    return lane
  }

  /** How many held accounts are waited for at this moment. One whose calls were all given up may be free again. */
  const openHeld = () => [...held].filter((userId) => open.has(userId)).length

  const send: SendBatch<Call, Decision> = async (calls) => {
    const start = performance.now()
    const undecided = await decide(calls)
    lastBatchMs = performance.now() - start
    onDecided(calls.map(({ item }) => item.userId))
    return undecided
  }

  /** Answers the calls as they are decided. Returns those that have to be sent again. */
  const decide: SendBatch<Call, Decision> = async (calls) => {
    const items = calls.map(({ item }) => item)
    const accounts = Map.groupBy(calls, ({ item }) => item.userId)
    try {
      const decisions = await sendUntilAnswered(db, log, items, accounts.size > 1)
      answer(calls, decisions)
      for (const userId of accounts.keys()) held.delete(userId)
      return []
    } catch (error) {
      if (accounts.size > 1 && isLockTimeout(error)) return await setLockedAside(calls, [...accounts.keys()])
      if (accounts.size > 1 && isStatementTimeout(error)) return await decideByAccount([...accounts.values()])
      if (calls.length === 1 || error instanceof AppError) for (const { reject } of calls) reject(error)
      else {
        // One item that the database rejects must not fail the items of other callers.
        log.error({ err: error, items: items.length }, 'a batch of charges failed: sending its items one by one')
        for (const call of calls) await decide([call])
      }
      return []
    }
  }

  /**
   * Moves the calls of locked accounts to lanes of their own, and returns the others. Those lanes answer them, so nothing
   * here waits for a lock.
   */
  const setLockedAside = async (calls: readonly WaitingCall[], userIds: string[]): Promise<readonly WaitingCall[]> => {
    const locked = new Set(await findLockedAccounts(db, userIds))
    log.warn({ userIds: [...locked] }, 'other sessions hold the locks of accounts: their charges wait in lanes of their own')
    for (const userId of locked) held.add(userId)
    for (const { item, resolve, reject } of calls) {
      if (locked.has(item.userId)) laneOf(item.userId).enqueue(item).then(resolve, reject)
    }
    return calls.filter(({ item }) => !locked.has(item.userId))
  }

  /** Decides one account after the other, and returns the calls that there was no time for. */
  const decideByAccount = async (accounts: WaitingCall[][]): Promise<readonly WaitingCall[]> => {
    const end = performance.now() + BY_ACCOUNT_MS_MAX
    for (const [n, calls] of accounts.entries()) {
      if (n > 0 && performance.now() > end) return accounts.slice(n).flat()
      await decide(calls)
    }
    return []
  }

  const meter = async <A extends Action>(item: BatchItem & { action: A }): Promise<VerdictOf[A]> => {
    const { userId } = item
    if (waiting >= waitingMax || (held.has(userId) && openHeld() > HELD_MAX)) {
      const retryAfterMs = Math.max(RETRY_AFTER_MS_MIN, Math.ceil((waiting / CHARGES_MAX) * lastBatchMs))
      return { verdict: 'overloaded', retryAfterMs } satisfies VerdictOf[Action]
    }
    waiting++
    try {
      // The database answers an action with the verdicts of that action.
      const deadline = performance.now() + answeredWithinMs
      return toVerdict(item, await laneOf(userId).enqueue({ ...item, deadline })) as VerdictOf[A]
    } finally {
      waiting--
    }
  }

  /** What is for a key. Its token names the account. */
  const meterKey = async <A extends 'charge' | 'hold'>(
    action: A,
    { key, credits, idempotencyKey, operation }: Charge,
    lifetimeSeconds: number | null,
  ): Promise<VerdictOf[A] | { verdict: 'not_found' }> => {
    const token = parseToken(keyBrand, key)
    // No token of ours: a typo or a probe, which costs the database nothing.
    if (token === null) return { verdict: 'not_found' }
    const { userId } = token
    const keyHash = hashToken(key)
    return await meter({ action, userId, keyHash, refersTo: null, credits, idempotencyKey, operation, lifetimeSeconds })
  }

  const charge = async (request: Charge): Promise<Verdict> => await meterKey('charge', request, null)

  const chargeMany = async (requests: readonly Charge[]): Promise<Verdict[]> => {
    if (requests.length > CHARGES_MAX) throw new AppError('bad_request', { message: `Charge at most ${CHARGES_MAX} at once.` })
    return await Promise.all(requests.map(charge))
  }

  /** What is about an event of before. Its id names the account. */
  const meterEvent = async <A extends 'settle' | 'release' | 'refund'>(
    action: A,
    eventId: string,
    credits: number,
    idempotencyKey: string,
  ): Promise<VerdictOf[A] | { verdict: 'not_found' }> => {
    const event = parseEventId(eventId)
    if (event === null) return { verdict: 'not_found' }
    const { userId, sequence: refersTo } = event
    return await meter({
      action,
      userId,
      keyHash: null,
      refersTo,
      credits,
      idempotencyKey,
      operation: null,
      lifetimeSeconds: null,
    })
  }

  return {
    charge,
    chargeMany,
    hold: async ({ ttlSeconds, ...request }) => await meterKey('hold', request, ttlSeconds),
    settle: async ({ holdId, credits, idempotencyKey }) => await meterEvent('settle', holdId, credits, idempotencyKey),
    release: async ({ holdId, idempotencyKey }) => await meterEvent('release', holdId, 0, idempotencyKey),
    refund: async ({ chargeId, credits, idempotencyKey }) => await meterEvent('refund', chargeId, credits, idempotencyKey),
  }
}

/**
 * A connection that broke may have broken after the commit. Sent again, what has an idempotency key is answered its first
 * verdict, and what has none took nothing.
 *
 * @param isMixed whether it is of several accounts: then what may be the fault of some is not tried again with all.
 */
async function sendUntilAnswered(db: Db, log: Logger, items: Call[], isMixed: boolean): Promise<Decision[]> {
  let failure: unknown
  for (const pause of RESEND_PAUSES_MS) {
    if (pause > 0) await sleep(pause)
    try {
      return await tryOnce(db, items)
    } catch (error) {
      if ((!isUnavailable(error) && !isConflict(error)) || (isMixed && isOfSomeAccounts(error))) throw error
      failure = error
      if (timeLeft(items) < TRY_MS_MIN) break
      log.warn({ err: error, items: items.length }, 'a batch of charges was not answered: sending it again')
    }
  }
  log.warn({ err: failure, items: items.length }, 'a batch of charges was given up')
  throw new AppError('database_unavailable', { cause: failure })
}

/** One of the accounts is held, or what time does to all of them together takes longer than a statement may. */
function isOfSomeAccounts(error: unknown): boolean {
  return isLockTimeout(error) || isStatementTimeout(error)
}

/** Sends a batch as long as any of its callers waits. Given up, it may be decided all the same, as when a connection breaks. */
async function tryOnce(db: Db, items: Call[]): Promise<Decision[]> {
  const left = timeLeft(items)
  if (left < TRY_MS_MIN) throw timedOut()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(timedOut()), Math.min(left, TRY_MS_MAX))
  return await Promise.race([meterBatch(db, items), late]).finally(() => clearTimeout(timer))
}

function answer(calls: readonly WaitingCall[], decisions: Decision[]): void {
  for (const [i, { resolve, reject }] of calls.entries()) {
    const decision = decisions[i]
    if (decision === undefined) reject(new Error('the database left a call unanswered'))
    else resolve(decision)
  }
}

const timeLeft = (items: Call[]) => Math.max(...items.map(({ deadline }) => deadline)) - performance.now()
const timedOut = () => Object.assign(new Error('Postgres did not answer a batch of charges in time'), { code: 'ETIMEDOUT' })
