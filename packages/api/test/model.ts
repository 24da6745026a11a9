import {
  type Charge,
  type ChargeVerdict,
  type Hold,
  type HoldVerdict,
  IDEMPOTENCY_DAYS,
  type KeyType,
  type Known,
  OPERATIONS_MAX,
  type Refund,
  type RefundVerdict,
  Refusal,
  type Release,
  type ReleaseVerdict,
  type Settle,
  type SettleVerdict,
} from '@keymeter/contract'
import type { AlertEvent } from './alerts-of.ts'
import { naiveBoundary } from './naive-cycle.ts'

/** A metering request of the company's backend. */
export type ModelRequest =
  | ({ action: 'charge' } & Charge)
  | ({ action: 'hold' } & Hold)
  | ({ action: 'settle' } & Settle)
  | ({ action: 'release' } & Release)
  | ({ action: 'refund' } & Refund)
export type ModelVerdict = ChargeVerdict | HoldVerdict | SettleVerdict | ReleaseVerdict | RefundVerdict

/** The credits that each plan grants per billing cycle. */
export const PLANS: Record<string, number> = { free: 1000, small: 1200, large: 5000, prepaid: 0 }

/**
 * A simple model of accounts, keys and credits in memory, which handles one request after the other. Tests compare the charge
 * engine with this model, so the model shares no code with the engine. Times are in milliseconds since 1970.
 */
export class Model {
  now: number
  readonly accounts: ModelAccount[] = []
  /** All requests with an idempotency key, so that a test can retry some of them. */
  readonly requests: ModelRequest[] = []

  constructor(now: number) {
    this.now = now
  }

  get keys(): ModelKey[] {
    return this.accounts.flatMap(({ keys }) => keys)
  }

  get secrets(): ModelSecret[] {
    return this.keys.flatMap(({ secrets }) => secrets)
  }

  get holds(): ModelHold[] {
    return this.accounts.flatMap(({ holds }) => holds)
  }

  get charges(): ModelCharge[] {
    return this.accounts.flatMap(({ charges }) => charges)
  }

  signUp(userId: string, creditsPerCycle: number): ModelAccount {
    const account = new ModelAccount(userId, this.now, creditsPerCycle)
    this.accounts.push(account)
    return account
  }

  /**
   * Decides one request and changes the model.
   *
   * @param accountId the account in the key's token or in the event id. The ended cycles of this account are closed, even if
   *   the key or the event does not exist.
   */
  decide(request: ModelRequest, accountId: string | null): ModelVerdict {
    const account = this.accounts.find(({ userId }) => userId === accountId)
    if (account === undefined) return { verdict: 'not_found' }
    account.turn(this.now)
    const moment = account.timeAt(this.now)
    if (request.action !== 'charge' && request.action !== 'hold') return account.decideEvent(request, moment)
    for (const key of account.keys) {
      const secret = key.secrets.find(({ text }) => text === request.key)
      if (secret !== undefined) return account.decideKey(request, key, secret, moment)
    }
    return { verdict: 'not_found' }
  }
}

export interface ModelSecret {
  text: string
  validUntil: number | null
}

export interface ModelHold {
  account: ModelAccount
  id: string
  key: ModelKey
  operation: string
  credits: number
  cycle: number
  at: number
  expiresAt: number
  outcome: 'settled' | 'released' | 'expired' | null
}

export interface ModelCharge {
  account: ModelAccount
  id: string
  key: ModelKey
  cycle: number
  credits: number
  refunded: number
}

export class ModelKey {
  readonly account: ModelAccount
  readonly id: string
  readonly keyType: KeyType
  creditLimit: number | null
  expiresAt: number | null
  isDisabled = false
  isRevoked = false
  readonly secrets: ModelSecret[]
  /** The usage of this key by the index of the cycle. */
  readonly used = new Map<number, { credits: number; charges: number }>()

  constructor(account: ModelAccount, id: string, keyType: KeyType, secret: string) {
    this.account = account
    this.id = id
    this.keyType = keyType
    this.creditLimit = null
    this.expiresAt = null
    this.secrets = [{ text: secret, validUntil: null }]
  }

  usedIn(cycle: number): number {
    return this.used.get(cycle)?.credits ?? 0
  }

  heldIn(cycle: number): number {
    return sum(this.account.holds.filter((hold) => hold.key === this && hold.cycle === cycle && hold.outcome === null))
  }

  count(cycle: number, credits: number, charges: number): void {
    const used = this.used.get(cycle) ?? { credits: 0, charges: 0 }
    this.used.set(cycle, { credits: used.credits + credits, charges: used.charges + charges })
  }

  /**
   * Gives the key a new secret. The previous secret works until the end of the grace period. Older secrets keep their ends.
   */
  rotate(secret: string, now: number, graceMs: number): void {
    for (const older of this.secrets) older.validUntil ??= now + graceMs
    this.secrets.push({ text: secret, validUntil: null })
  }
}

const REMEMBERED_MS = IDEMPOTENCY_DAYS * 86_400_000

interface Remembered {
  at: number
  /** The fields that must be equal in a request and its retry, as JSON. */
  request: string
  answer: ModelVerdict
}

/** A top-up that the operator granted. */
export interface ModelGrant {
  idempotencyKey: string
  credits: number
  takenBack: number
}

interface ModelCycle {
  plan: string
  granted: number
  toppedUp: number
  used: number
}

export class ModelAccount {
  readonly userId: string
  readonly anchor: number
  nextPlan: string | null = null
  isSuspended = false
  lastEventAt: number | null = null
  events = 0
  /** All cycles since the anchor. The last one is the current cycle. */
  readonly cycles: ModelCycle[]
  readonly keys: ModelKey[] = []
  readonly holds: ModelHold[] = []
  readonly charges: ModelCharge[] = []
  readonly grants: ModelGrant[] = []
  readonly operations = new Set<string>()
  readonly remembered = new Map<string, Remembered>()
  thresholds = [50, 80, 100]
  creditsLeft: number[] | null = null
  /** Everything that matters for the alerts (`alertsOf`). */
  readonly alertHistory: AlertEvent[] = []

  constructor(userId: string, anchor: number, granted: number) {
    this.userId = userId
    this.anchor = anchor
    this.cycles = [{ plan: 'free', granted, toppedUp: 0, used: 0 }]
  }

  boundary(months: number): number {
    return naiveBoundary(new Date(this.anchor), months).getTime()
  }

  get cycle(): number {
    return this.cycles.length - 1
  }

  get current(): ModelCycle {
    const cycle = this.cycles.at(-1)
    if (cycle === undefined) throw new Error('an account without a cycle')
    return cycle
  }

  get cycleStart(): number {
    return this.boundary(this.cycle)
  }

  get cycleEnd(): number {
    return this.boundary(this.cycle + 1)
  }

  heldIn(cycle: number): number {
    return sum(this.holds.filter((hold) => hold.cycle === cycle && hold.outcome === null))
  }

  /**
   * Returns the top-ups that are left at the start of a cycle. These are the top-ups of all earlier cycles, minus the
   * credits that each earlier cycle used or holds beyond its granted credits.
   */
  carriedInto(cycle: number): number {
    return this.cycles
      .slice(0, cycle)
      .reduce((left, { granted, toppedUp, used }, k) => left + toppedUp - Math.max(0, used + this.heldIn(k) - granted), 0)
  }

  get topUps(): number {
    return this.carriedInto(this.cycle) + this.current.toppedUp
  }

  get remaining(): number {
    return Math.max(0, this.current.granted + this.topUps - this.current.used - this.heldIn(this.cycle))
  }

  /** What counts as left for alerts: held credits can be given back, so they are left. */
  get leftForAlerts(): number {
    return Math.max(0, this.current.granted + this.topUps - this.current.used)
  }

  /**
   * Returns the time of the account's next event. This time is never before the last event, even if the clock was set back.
   */
  timeAt(now: number): number {
    return Math.max(now, this.lastEventAt ?? now, this.cycleStart)
  }

  /** Closes all ended cycles, including cycles without usage, and ends all expired holds. */
  turn(now: number): void {
    while (this.cycleEnd <= this.timeAt(now)) {
      const plan = this.nextPlan ?? this.current.plan
      const granted = this.nextPlan === null ? this.current.granted : (PLANS[this.nextPlan] ?? 0)
      this.nextPlan = null
      this.cycles.push({ plan, granted, toppedUp: 0, used: 0 })
    }
    const ended = this.holds.filter(({ outcome, expiresAt }) => outcome === null && expiresAt <= this.timeAt(now))
    const before = this.leftForAlerts
    for (const hold of ended) hold.outcome = 'expired'
    this.noteReturned(before)
  }

  /**
   * Returns a copy of the account in which ended cycles are closed and expired holds have ended. The product must show the
   * state of this copy at the time `now`.
   */
  asOf(now: number): ModelAccount {
    const copy: ModelAccount = Object.assign(Object.create(ModelAccount.prototype), this, {
      cycles: this.cycles.map((cycle) => ({ ...cycle })),
      holds: this.holds.map((hold) => ({ ...hold })),
      alertHistory: [...this.alertHistory],
    })
    copy.turn(now)
    return copy
  }

  topUp(credits: number, idempotencyKey: string): void {
    this.current.toppedUp += credits
    this.noteForAlerts({ what: 'more credits' })
    this.grants.push({ idempotencyKey, credits, takenBack: 0 })
  }

  /** Sets the credits that the plan grants in the current cycle. */
  setGranted(credits: number): void {
    this.current.granted = credits
    this.noteForAlerts({ what: 'new plan' })
  }

  /** Takes back `credits` of a top-up, or all of it if `credits` is null, but only what is neither used nor held. */
  takeBack(grant: ModelGrant, credits: number | null): { creditsTakenBack: number; creditsSpent: number } {
    const wanted = Math.min(credits ?? grant.credits, grant.credits - grant.takenBack)
    const creditsTakenBack = Math.min(wanted, this.carriedInto(this.cycle + 1))
    grant.takenBack += creditsTakenBack
    this.current.toppedUp -= creditsTakenBack
    if (creditsTakenBack > 0) this.noteForAlerts({ what: 'take-back' })
    return { creditsTakenBack, creditsSpent: wanted - creditsTakenBack }
  }

  changePlan(plan: string): void {
    const credits = PLANS[plan] ?? 0
    if ((this.nextPlan ?? this.current.plan) === plan) return
    if (credits < this.current.granted && plan !== this.current.plan) {
      this.nextPlan = plan
      return
    }
    this.nextPlan = null
    const isNew = plan !== this.current.plan || credits > this.current.granted
    this.current.plan = plan
    this.current.granted = Math.max(this.current.granted, credits)
    if (isNew) this.noteForAlerts({ what: 'new plan' })
  }

  noteForAlerts(
    event:
      | { what: 'new plan' | 'more credits' | 'take-back' }
      | { what: 'refusal'; asked: number }
      | { what: 'spent'; used: number | null },
  ): void {
    const { cycle, thresholds, creditsLeft } = this
    const { plan, granted } = this.current
    this.alertHistory.push({ ...event, cycle, plan, granted, left: this.leftForAlerts, thresholds, creditsLeft })
  }

  /** Notes that credits were given back, unless what is left is not more than `before`. */
  noteReturned(before: number): void {
    if (this.leftForAlerts > before) this.noteForAlerts({ what: 'more credits' })
  }

  decideKey(
    request: Extract<ModelRequest, { action: 'charge' | 'hold' }>,
    key: ModelKey,
    secret: ModelSecret,
    moment: number,
  ): ModelVerdict {
    const { action, credits, idempotencyKey, operation } = request
    const identity = JSON.stringify([action, key.id, credits, operation, action === 'hold' ? request.ttlSeconds : null])
    const first = this.#recall(idempotencyKey, identity, moment)
    if (first !== null) return first
    const leavesTrace = credits > 0 || idempotencyKey !== null
    if (leavesTrace && !this.operations.has(operation)) {
      if (this.operations.size >= OPERATIONS_MAX) return { verdict: 'operation_limit_exceeded' }
      this.operations.add(operation)
    }
    const refusal = this.#refuse(credits, key, secret, moment)
    const id = this.#nextId(action)
    if (refusal === null && action === 'hold') {
      const expiresAt = moment + request.ttlSeconds * 1000
      const { cycle } = this
      this.holds.push({ account: this, id, key, operation, credits, cycle, at: moment, expiresAt, outcome: null })
      key.count(cycle, 0, 0)
      return this.#remember(idempotencyKey, identity, moment, {
        verdict: 'held',
        ...this.#known(key),
        holdId: id,
        credits,
        expiresAt: iso(expiresAt),
      })
    }
    if (refusal === null) this.#use(key, this.cycle, credits)
    if (refusal === 'insufficient_credits') this.noteForAlerts({ what: 'refusal', asked: credits })
    const known = this.#known(key)
    if (!leavesTrace) {
      return refusal === null ? { verdict: 'charged', ...known, credits, chargeId: null } : this.#refusal(refusal, key)
    }
    if (refusal !== null) return this.#remember(idempotencyKey, identity, moment, this.#refusal(refusal, key))
    this.charges.push({ account: this, id, key, cycle: this.cycle, credits, refunded: 0 })
    key.count(this.cycle, 0, 1)
    return this.#remember(idempotencyKey, identity, moment, { verdict: 'charged', ...known, credits, chargeId: id })
  }

  decideEvent(request: Extract<ModelRequest, { action: 'settle' | 'release' | 'refund' }>, moment: number): ModelVerdict {
    const { action, idempotencyKey } = request
    const identity = JSON.stringify([
      action,
      action === 'refund' ? request.chargeId : request.holdId,
      action === 'release' ? null : request.credits,
    ])
    const first = this.#recall(idempotencyKey, identity, moment)
    if (first !== null) return first
    const left = this.leftForAlerts
    if (action === 'refund') {
      const charge = this.charges.find(({ id }) => id === request.chargeId)
      if (charge === undefined) return { verdict: 'not_found' }
      const { credits } = request
      const becameTopUp = charge.cycle !== this.cycle
      const isTooMuch = credits > charge.credits - charge.refunded || (becameTopUp && credits > this.#room)
      if (!isTooMuch) {
        charge.refunded += credits
        if (becameTopUp) this.current.toppedUp += credits
        else {
          this.current.used -= credits
          charge.key.count(this.cycle, -credits, 0)
        }
        this.noteReturned(left)
      }
      const known = this.#known(charge.key)
      return this.#remember(
        idempotencyKey,
        identity,
        moment,
        isTooMuch ? { verdict: 'exceeds_charge', ...known } : { verdict: 'refunded', ...known, credits, becameTopUp },
      )
    }
    const hold = this.holds.find(({ id }) => id === request.holdId)
    if (hold === undefined) return { verdict: 'not_found' }
    if (hold.outcome !== null) {
      const verdict = hold.outcome === 'expired' ? 'hold_expired' : 'hold_ended'
      return this.#remember(idempotencyKey, identity, moment, { verdict, ...this.#known(hold.key) })
    }
    const collectible = this.#collectible(hold, moment)
    hold.outcome = action === 'settle' ? 'settled' : 'released'
    if (action === 'release') {
      this.noteReturned(left)
      return this.#remember(idempotencyKey, identity, moment, {
        verdict: 'released',
        ...this.#known(hold.key),
        credits: hold.credits,
      })
    }
    const credits = Math.min(request.credits, hold.credits + collectible)
    const uncollected = request.credits - credits
    const id = this.#nextId('charge')
    this.#use(hold.key, hold.cycle, credits)
    this.noteReturned(left)
    hold.key.count(hold.cycle, 0, 1)
    this.charges.push({ account: this, id, key: hold.key, cycle: hold.cycle, credits, refunded: 0 })
    const known = this.#known(hold.key)
    return this.#remember(idempotencyKey, identity, moment, {
      verdict: 'settled',
      ...known,
      chargeId: id,
      credits,
      uncollected,
    })
  }

  /** Returns the credits that a settle of this hold can charge in addition to the credits of the hold. */
  #collectible({ key, cycle }: ModelHold, moment: number): number {
    if (key.isRevoked || key.isDisabled || this.isSuspended || (key.expiresAt !== null && key.expiresAt <= moment)) return 0
    const ofKey = key.creditLimit === null ? Infinity : key.creditLimit - key.usedIn(cycle) - key.heldIn(cycle)
    const { granted, used } = this.cycles[cycle] ?? { granted: 0, used: 0 }
    const ofGrant = Math.max(0, granted - used - this.heldIn(cycle))
    // A top-up can be used only if it was there in the cycle of the hold, and was left in each cycle since.
    const topUps = this.cycles.slice(cycle).map((_, k) => this.carriedInto(cycle + k + 1))
    return Math.max(0, Math.min(ofKey, ofGrant + Math.max(0, Math.min(...topUps))))
  }

  /** The credits that the account can get until it has the maximum. */
  get #room(): number {
    const heldBefore = sum(this.holds.filter(({ cycle, outcome }) => cycle !== this.cycle && outcome === null))
    return Number.MAX_SAFE_INTEGER - this.current.granted - this.topUps - heldBefore
  }

  #use(key: ModelKey, cycle: number, credits: number): void {
    const used = this.cycles[cycle]
    if (used === undefined) throw new Error('there is no such cycle')
    if (credits === 0) return
    used.used += credits
    key.count(cycle, credits, 0)
    this.noteForAlerts({ what: 'spent', used: cycle === this.cycle ? used.used : null })
  }

  #recall(idempotencyKey: string | null, request: string, moment: number): ModelVerdict | null {
    const first = idempotencyKey === null ? undefined : this.remembered.get(idempotencyKey)
    if (first === undefined || first.at <= moment - REMEMBERED_MS) return null
    return first.request === request ? ({ ...first.answer, replayed: true } as ModelVerdict) : { verdict: 'conflict' }
  }

  #remember(idempotencyKey: string | null, request: string, moment: number, answer: ModelVerdict): ModelVerdict {
    this.events++
    this.lastEventAt = moment
    if (idempotencyKey !== null) this.remembered.set(idempotencyKey, { at: moment, request, answer })
    return answer
  }

  #nextId(action: string): string {
    const bytes = this.userId.replaceAll('-', '') + (this.events + 1).toString(16).padStart(16, '0')
    return `${action}_${Buffer.from(bytes, 'hex').toString('base64url')}`
  }

  #known({ id, keyType }: ModelKey): Known {
    return {
      keyId: id,
      accountId: this.userId,
      keyType,
      remaining: this.remaining,
      cycleEnd: iso(this.cycleEnd),
      replayed: false,
    }
  }

  #refusal(verdict: Refusal, key: ModelKey): ChargeVerdict & HoldVerdict {
    const known = this.#known(key)
    if (verdict === 'insufficient_credits')
      return { verdict, ...known, creditsHeld: sum(this.holds.filter(({ outcome }) => outcome === null)) }
    return verdict === 'key_limit_exceeded' ? { verdict, ...known, creditsHeld: key.heldIn(this.cycle) } : { verdict, ...known }
  }

  #refuse(credits: number, key: ModelKey, secret: ModelSecret, moment: number): Refusal | null {
    const isOver = (end: number | null) => end !== null && end <= moment
    const spent = key.usedIn(this.cycle) + key.heldIn(this.cycle)
    const refusals = {
      revoked: key.isRevoked,
      disabled: key.isDisabled,
      expired: isOver(key.expiresAt) || isOver(secret.validUntil),
      account_suspended: this.isSuspended,
      insufficient_credits: credits > this.remaining,
      // A customer can set the limit of a key below the credits that the key has already spent. A charge of 0 credits must
      // still succeed then.
      key_limit_exceeded: credits > 0 && key.creditLimit !== null && spent + credits > key.creditLimit,
    } satisfies Record<Refusal, boolean>
    return Refusal.options.find((refusal) => refusals[refusal]) ?? null
  }
}

function sum(holds: { credits: number }[]): number {
  return holds.reduce((total, { credits }) => total + credits, 0)
}

function iso(moment: number): string {
  return new Date(moment).toISOString()
}
