import {
  CHARGES_MAX,
  type Charge,
  type ChargeVerdict,
  type Hold,
  type HoldVerdict,
  type Refund,
  type RefundVerdict,
  type Release,
  type ReleaseVerdict,
  type Settle,
  type SettleVerdict,
} from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import { hashToken, parseToken } from '../keys/token.ts'
import { parseEventId } from './event-id.ts'
import { Lanes } from './lanes.ts'
import type { Action, BatchItem, Decision } from './meter-batch.ts'
import { toChargeVerdict, toHoldVerdict, toRefundVerdict, toReleaseVerdict, toSettleVerdict } from './verdict.ts'

/** The maximum number of calls that wait at the same time. Further calls immediately get the verdict `overloaded`. */
const WAITING_MAX = 10_000
/** A call that is not decided within this time fails with `database_unavailable`. */
const ANSWERED_WITHIN_MS = 10_000
const RETRY_AFTER_MS_MIN = 100

/** The verdicts that every action can return without asking the database. */
type Undecided = Extract<ChargeVerdict, { verdict: 'not_found' | 'overloaded' }>

export interface MeteringOptions {
  /** A pool that only the charge engine uses, so that charges do not wait behind calls of the dashboard. */
  db: Db
  keyBrand: string
  log: Logger
  waitingMax?: number
  answeredWithinMs?: number
  /** Receives the accounts of each batch after its commit. It must not throw. Callers do not wait for it. */
  onDecided?: (userIds: Iterable<string>) => void
}

/**
 * The charge engine of one process. It turns requests into items of batches (see `Lanes`), and turns the decisions of the
 * database into verdicts.
 *
 * Every method returns after the commit. A request can be retried safely with the same idempotency key.
 *
 * @throws AppError `database_unavailable`, from each method, if the database does not decide in time.
 */
export class Metering {
  readonly #lanes: Lanes
  readonly #keyBrand: string
  readonly #waitingMax: number
  readonly #answeredWithinMs: number
  #waiting = 0

  constructor({
    db,
    keyBrand,
    log,
    waitingMax = WAITING_MAX,
    answeredWithinMs = ANSWERED_WITHIN_MS,
    onDecided = () => {},
  }: MeteringOptions) {
    this.#lanes = new Lanes(db, log, onDecided)
    this.#keyBrand = keyBrand
    this.#waitingMax = waitingMax
    this.#answeredWithinMs = answeredWithinMs
  }

  /** Takes credits from the account of a key. 0 credits only verify the key. */
  async charge(request: Charge): Promise<ChargeVerdict> {
    return await this.#meter(this.#itemOfKey('charge', request, null), toChargeVerdict)
  }

  /**
   * Decides at most 500 charges in their order, each with its own verdict. No procedure calls this method yet. It is for the
   * planned REST gateway, whose requests can contain several charges.
   *
   * @throws AppError `bad_request` for more than 500 charges.
   */
  async chargeMany(requests: readonly Charge[]): Promise<ChargeVerdict[]> {
    if (requests.length > CHARGES_MAX)
      throw new AppError('bad_request', { message: `Send at most ${CHARGES_MAX} charges in one request.` })
    return await Promise.all(requests.map((request) => this.charge(request)))
  }

  /** Takes credits until `settle` or `release` ends the hold, or until the hold expires. */
  async hold({ ttlSeconds, ...request }: Hold): Promise<HoldVerdict> {
    return await this.#meter(this.#itemOfKey('hold', request, ttlSeconds), toHoldVerdict)
  }

  /** Charges the actual cost of the work, and gives the remaining credits of the hold back to the account. */
  async settle({ holdId, credits, idempotencyKey }: Settle): Promise<SettleVerdict> {
    return await this.#meter(itemOfEvent('settle', holdId, credits, idempotencyKey), toSettleVerdict)
  }

  /** Gives all credits of a hold back to the account. */
  async release({ holdId, idempotencyKey }: Release): Promise<ReleaseVerdict> {
    return await this.#meter(itemOfEvent('release', holdId, 0, idempotencyKey), toReleaseVerdict)
  }

  /** Gives some or all credits of a charge back to the account. */
  async refund({ chargeId, credits, idempotencyKey }: Refund): Promise<RefundVerdict> {
    return await this.#meter(itemOfEvent('refund', chargeId, credits, idempotencyKey), toRefundVerdict)
  }

  /** @param item Null if the request does not name an account. The verdict is then `not_found`, without a query. */
  async #meter<V>(item: BatchItem | null, toVerdict: (userId: string, decision: Decision) => V): Promise<V | Undecided> {
    if (item === null) return { verdict: 'not_found' }
    if (this.#waiting >= this.#waitingMax || this.#lanes.isRefused(item.userId))
      return { verdict: 'overloaded', retryAfterMs: this.#retryAfterMs() }
    this.#waiting++
    try {
      const decision = await this.#lanes.decide(item, performance.now() + this.#answeredWithinMs)
      return toVerdict(item.userId, decision)
    } finally {
      this.#waiting--
    }
  }

  /** Estimates the time until all waiting calls are decided, from the duration of the last batch. */
  #retryAfterMs(): number {
    return Math.max(RETRY_AFTER_MS_MIN, Math.ceil((this.#waiting / CHARGES_MAX) * this.#lanes.lastBatchMs))
  }

  /**
   * Returns the item for a charge or a hold. The token names the account. Returns null if `key` is not a token of this brand.
   */
  #itemOfKey(
    action: Extract<Action, 'charge' | 'hold'>,
    { key, credits, idempotencyKey, operation }: Charge,
    lifetimeSeconds: number | null,
  ): BatchItem | null {
    const token = parseToken(this.#keyBrand, key)
    if (token === null) return null
    const { userId } = token
    return { action, userId, keyHash: hashToken(key), refersTo: null, credits, idempotencyKey, operation, lifetimeSeconds }
  }
}

/**
 * Returns the item for a settle, a release or a refund. The event's id names the account. Returns null if `eventId` is not the
 * id of an event.
 */
function itemOfEvent(
  action: Extract<Action, 'settle' | 'release' | 'refund'>,
  eventId: string,
  credits: number,
  idempotencyKey: string,
): BatchItem | null {
  const event = parseEventId(eventId)
  if (event === null) return null
  const { userId, sequence: refersTo } = event
  return { action, userId, keyHash: null, refersTo, credits, idempotencyKey, operation: null, lifetimeSeconds: null }
}
