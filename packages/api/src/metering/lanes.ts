import { CHARGES_MAX } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import { Lane, type Timed, type Waiting } from './lane.ts'
import type { BatchItem, Decision, LeftOut, WaitsFor } from './meter-batch.ts'
import { sendBatch } from './send-batch.ts'

/**
 * The maximum number of locked accounts whose batches are in flight concurrently. Each batch occupies a connection of the pool
 * while it waits for the lock.
 */
const LOCKED_ACCOUNTS_MAX = 4
/** An account keeps its own lane for this time after it was last found locked. */
const OWN_LANE_MS = 1_000
/** For this time after a batch met a batch of another process, batches wait for batches of other processes. */
const CONTENTION_MS = 1_000
/** If this number of calls wait in the own lane of an account, further calls of the account are refused. */
export const OWN_LANE_WAITING_MAX = 2_000
/**
 * If this number of calls wait in all own lanes together, further calls of locked accounts are refused. So the calls of locked
 * accounts leave space for others below the limit for all waiting calls.
 */
export const OWN_LANES_WAITING_MAX = 5_000
/**
 * The smallest pool that the engine needs: one connection for the shared lane, one for each locked account in flight, and one for
 * announcements and the creation of partitions.
 */
export const METERING_CONNECTIONS_MIN = 1 + LOCKED_ACCOUNTS_MAX + 1
/**
 * The time limit for a batch that is decided account by account. The limit is checked before each account. So the next batch
 * waits for at most this time, plus the time of one account.
 */
const BY_ACCOUNT_MS_MAX = 2_000

type Call = BatchItem & Timed
type WaitingCall = Waiting<Call, Decision>

interface OwnLane {
  readonly userId: string
  readonly lane: Lane<Call, Decision>
  /** A time on the clock of `performance.now()`. After this time, the calls of the account return to the shared lane. */
  endsAt: number
}

/**
 * Chooses the lane (the queue) in which a call waits, and sends the batches of all lanes.
 *
 * All accounts share one lane, because Postgres is fastest with one batch in flight. A batch of this lane never waits for an
 * account that is being edited. It leaves out the calls of this account, which then wait in a lane of their own.
 *
 * If batches of other processes have locked accounts, the calls of these accounts come first in the next batch, and this batch
 * waits for the other batches.
 */
export class Lanes {
  readonly #db: Db
  readonly #log: Logger
  readonly #onDecided: (userIds: Iterable<string>) => void
  readonly #shared: Lane<Call, Decision>
  readonly #ownLanes = new Map<string, OwnLane>()
  #waitingInOwnLanes = 0
  #ownInFlight = 0
  readonly #waitForPlace: (() => void)[] = []
  #contentionEndsAt = 0
  #lastBatchMs = 0

  /** @param onDecided Receives the accounts of each batch after its commit. It must not throw. */
  constructor(db: Db, log: Logger, onDecided: (userIds: Iterable<string>) => void) {
    this.#db = db
    this.#log = log
    this.#onDecided = onDecided
    this.#shared = new Lane(CHARGES_MAX, (calls) => this.#sendShared(calls))
  }

  get lastBatchMs(): number {
    return this.#lastBatchMs
  }

  /** The number of accounts that have a lane of their own. */
  get ownLanes(): number {
    return this.#ownLanes.size
  }

  /** @throws AppError `database_unavailable` if the call is not decided by `deadline`. */
  async decide(item: BatchItem, deadline: number): Promise<Decision> {
    const call = { ...item, deadline }
    const own = this.#ownLanes.get(item.userId)
    return await (own === undefined ? this.#shared.enqueue(call) : this.#enqueueIn(own, call))
  }

  /** True if the account's calls must be refused, because too many calls wait for locked accounts. */
  isRefused(userId: string): boolean {
    const own = this.#ownLanes.get(userId)
    if (own === undefined) return false
    return own.lane.size >= OWN_LANE_WAITING_MAX || this.#waitingInOwnLanes >= OWN_LANES_WAITING_MAX
  }

  async #sendShared(calls: readonly WaitingCall[]): Promise<readonly WaitingCall[]> {
    const start = performance.now()
    // These calls arrived before their account got its own lane.
    const rest = calls.filter((call) => {
      const own = this.#ownLanes.get(call.item.userId)
      if (own !== undefined) this.#move(call, own)
      return own === undefined
    })
    if (rest.length === 0) return []
    const undecided = await this.#decide(rest, start < this.#contentionEndsAt ? 'batches' : 'nobody')
    this.#lastBatchMs = performance.now() - start
    return undecided
  }

  /**
   * Sends a batch of an account that was found locked. The batch waits for the lock. At most `LOCKED_ACCOUNTS_MAX` such batches
   * are in flight, so that the shared lane always finds a free connection.
   */
  async #sendOwn(own: OwnLane, calls: readonly WaitingCall[]): Promise<readonly WaitingCall[]> {
    if (performance.now() > own.endsAt) {
      this.#remove(own)
      for (const { item, resolve, reject } of calls) this.#shared.enqueue(item).then(resolve, reject)
      return []
    }
    if (this.#ownInFlight >= LOCKED_ACCOUNTS_MAX) await new Promise<void>((resolve) => this.#waitForPlace.push(resolve))
    else this.#ownInFlight++
    try {
      const undecided = await this.#decide(calls, 'everybody')
      if (undecided.length > 0) own.endsAt = performance.now() + OWN_LANE_MS
      return undecided
    } finally {
      const next = this.#waitForPlace.shift()
      if (next === undefined) this.#ownInFlight--
      else next()
    }
  }

  /**
   * Answers each call as soon as it is decided, and moves calls of locked accounts to their own lanes. Returns the calls that
   * must be sent again.
   *
   * @param suspectsBatches Treats an account that another batch has locked like an account that is being edited. The batch is
   *   perhaps not a batch, but a session of another program.
   */
  async #decide(calls: readonly WaitingCall[], waitsFor: WaitsFor, suspectsBatches = false): Promise<readonly WaitingCall[]> {
    const accounts = Map.groupBy(calls, ({ item }) => item.userId)
    try {
      const items = calls.map(({ item }) => item)
      const outcome = await sendBatch(this.#db, this.#log, items, waitsFor)
      switch (outcome.status) {
        case 'decided':
          return this.#answer(calls, outcome.decisions, waitsFor, suspectsBatches)
        case 'lock_timeout':
          return waitsFor === 'batches' ? await this.#decide(calls, 'nobody', true) : calls
        case 'too_slow':
          return await this.#decideByAccount([...accounts.values()], waitsFor)
      }
    } catch (error) {
      // Postgres may have decided the batch, although its answer is lost.
      this.#onDecided(accounts.keys())
      if (calls.length === 1 || error instanceof AppError) {
        for (const { reject } of calls) reject(error)
        return []
      }
      // Send the items one by one. Otherwise an item that the database rejects would fail the items of other callers.
      this.#log.error({ err: error, items: calls.length }, 'a batch of charges failed: sending its items one by one')
      const undecided: WaitingCall[] = []
      for (const call of calls) undecided.push(...(await this.#decide([call], waitsFor)))
      return undecided
    }
  }

  #answer(
    calls: readonly WaitingCall[],
    decisions: readonly Decision[],
    waitsFor: WaitsFor,
    suspectsBatches: boolean,
  ): readonly WaitingCall[] {
    const undecided: WaitingCall[] = []
    const decided = new Set<string>()
    for (const [i, call] of calls.entries()) {
      const decision = decisions[i]
      if (decision === undefined) {
        call.reject(new Error('the database did not decide an item of the batch'))
      } else if (!isLeftOut(decision.verdict)) {
        decided.add(call.item.userId)
        call.resolve(decision)
      } else if (waitsFor === 'everybody') {
        undecided.push(call)
      } else if (decision.verdict === 'account_locked' || suspectsBatches) {
        this.#move(call, this.#giveOwnLane(call.item.userId))
      } else {
        this.#contentionEndsAt = performance.now() + CONTENTION_MS
        undecided.push(call)
      }
    }
    if (decided.size > 0) this.#onDecided(decided)
    return undecided
  }

  /** Decides one account after the other. Returns the calls that were not decided within `BY_ACCOUNT_MS_MAX`. */
  async #decideByAccount(accounts: WaitingCall[][], waitsFor: WaitsFor): Promise<readonly WaitingCall[]> {
    const end = performance.now() + BY_ACCOUNT_MS_MAX
    const undecided: WaitingCall[] = []
    for (const [n, calls] of accounts.entries()) {
      if (n > 0 && performance.now() > end) return [...undecided, ...accounts.slice(n).flat()]
      undecided.push(...(await this.#decide(calls, waitsFor)))
    }
    return undecided
  }

  /** Returns the account's own lane, which now ends `OWN_LANE_MS` from now. Creates the lane if it does not exist. */
  #giveOwnLane(userId: string): OwnLane {
    const endsAt = performance.now() + OWN_LANE_MS
    const existing = this.#ownLanes.get(userId)
    if (existing !== undefined) return Object.assign(existing, { endsAt })
    const own: OwnLane = { userId, endsAt, lane: new Lane(CHARGES_MAX, (calls) => this.#sendOwn(own, calls)) }
    this.#ownLanes.set(userId, own)
    this.#removeWhenIdle(own)
    return own
  }

  #move({ item, resolve, reject }: WaitingCall, own: OwnLane): void {
    this.#enqueueIn(own, item).then(resolve, reject)
  }

  async #enqueueIn({ lane }: OwnLane, call: Call): Promise<Decision> {
    this.#waitingInOwnLanes++
    try {
      return await lane.enqueue(call)
    } finally {
      this.#waitingInOwnLanes--
    }
  }

  /** Removes the lane when it has ended and is idle. A lane that has ended with waiting calls removes itself (`#sendOwn`). */
  #removeWhenIdle(own: OwnLane): void {
    setTimeout(() => {
      if (this.#ownLanes.get(own.userId) !== own) return
      if (performance.now() > own.endsAt && own.lane.isIdle) this.#remove(own)
      else this.#removeWhenIdle(own)
    }, OWN_LANE_MS).unref()
  }

  #remove(own: OwnLane): void {
    if (this.#ownLanes.get(own.userId) === own) this.#ownLanes.delete(own.userId)
  }
}

function isLeftOut(verdict: string): verdict is LeftOut {
  return verdict === 'account_locked' || verdict === 'account_busy'
}
