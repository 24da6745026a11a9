import type { Charge, KeyType, Refusal, Verdict } from '@keymeter/contract'
import { naiveBoundary } from './naive-cycle.ts'

/**
 * What the product promises about accounts, keys and credits, in its plainest form: one account after the other, one charge
 * after the other, everything in memory. Moments are milliseconds. It shares nothing with the engine.
 */
export class Model {
  now: number
  readonly accounts: ModelAccount[] = []
  /** Every charge so far that had an idempotency key, so that it can be tried again. */
  readonly requests: Charge[] = []

  constructor(now: number) {
    this.now = now
  }

  get keys(): ModelKey[] {
    return this.accounts.flatMap(({ keys }) => keys)
  }

  get secrets(): ModelSecret[] {
    return this.keys.flatMap(({ secrets }) => secrets)
  }

  signUp(userId: string, creditsPerCycle: number): ModelAccount {
    const account = new ModelAccount(userId, this.now, creditsPerCycle)
    this.accounts.push(account)
    return account
  }

  /**
   * @param accountId the account that the token names, whether or not there is such a key: asking turns its cycle.
   */
  charge(request: Charge, accountId: string | null): Verdict {
    const account = this.accounts.find(({ userId }) => userId === accountId)
    if (account === undefined) return { verdict: 'not_found' }
    account.turn(this.now)
    for (const key of account.keys) {
      const secret = key.secrets.find(({ text }) => text === request.key)
      if (secret !== undefined) return account.charge(request, key, secret, account.timeAt(this.now))
    }
    return { verdict: 'not_found' }
  }
}

export interface ModelSecret {
  text: string
  validUntil: number | null
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
  /** By the start of the cycle. */
  readonly used = new Map<number, { credits: number; charges: number }>()

  constructor(account: ModelAccount, id: string, keyType: KeyType, secret: string) {
    this.account = account
    this.id = id
    this.keyType = keyType
    this.creditLimit = null
    this.expiresAt = null
    this.secrets = [{ text: secret, validUntil: null }]
  }

  usedIn(cycleStart: number): number {
    return this.used.get(cycleStart)?.credits ?? 0
  }

  /** The current secret works for the grace period, and an older one ends at once. */
  rotate(secret: string, now: number, graceMs: number): void {
    for (const older of this.secrets) {
      if (older.validUntil === null) older.validUntil = now + graceMs
      else if (older.validUntil > now) older.validUntil = now
    }
    this.secrets.push({ text: secret, validUntil: null })
  }
}

const REMEMBERED_MS = 35 * 86_400_000
const OPERATIONS_MAX = 100

interface Remembered {
  at: number
  keyId: string
  credits: number
  operation: string
  verdict: 'charged' | Refusal
  remaining: number
  cycleEnd: string
}

export class ModelAccount {
  readonly userId: string
  readonly anchor: number
  creditsPerCycle: number
  creditsUsed = 0
  isSuspended = false
  lastEventAt: number | null = null
  events = 0
  cycle = 0
  readonly closed: { start: number; end: number; granted: number; used: number }[] = []
  readonly keys: ModelKey[] = []
  readonly operations = new Set<string>()
  readonly remembered = new Map<string, Remembered>()

  constructor(userId: string, anchor: number, creditsPerCycle: number) {
    this.userId = userId
    this.anchor = anchor
    this.creditsPerCycle = creditsPerCycle
  }

  boundary(months: number): number {
    return naiveBoundary(new Date(this.anchor), months).getTime()
  }

  get cycleStart(): number {
    return this.boundary(this.cycle)
  }

  get cycleEnd(): number {
    return this.boundary(this.cycle + 1)
  }

  /** An account's time never runs backwards, whatever the clock does. */
  timeAt(now: number): number {
    return Math.max(now, this.lastEventAt ?? now, this.cycleStart)
  }

  /** Closes the cycles that have ended, the idle ones too. */
  turn(now: number): void {
    while (this.cycleEnd <= this.timeAt(now)) {
      const { cycleStart: start, cycleEnd: end, creditsPerCycle: granted, creditsUsed: used } = this
      this.closed.push({ start, end, granted, used })
      this.creditsUsed = 0
      this.cycle++
    }
  }

  charge({ credits, idempotencyKey, operation }: Charge, key: ModelKey, secret: ModelSecret, moment: number): Verdict {
    const about = { keyId: key.id, accountId: this.userId, keyType: key.keyType }
    const first = idempotencyKey === null ? undefined : this.remembered.get(idempotencyKey)
    if (first !== undefined && first.at > moment - REMEMBERED_MS) {
      if (first.keyId !== key.id || first.credits !== credits || first.operation !== operation) return { verdict: 'conflict' }
      return answer(first.verdict, { ...about, remaining: first.remaining, cycleEnd: first.cycleEnd, replayed: true }, credits)
    }
    const leavesTrace = credits > 0 || idempotencyKey !== null
    if (leavesTrace && !this.operations.has(operation)) {
      if (this.operations.size >= OPERATIONS_MAX) return { verdict: 'operation_limit_exceeded' }
      this.operations.add(operation)
    }
    const verdict = this.#decide(credits, key, secret, moment)
    if (verdict === 'charged') this.creditsUsed += credits
    const remaining = Math.max(0, this.creditsPerCycle - this.creditsUsed)
    const cycleEnd = new Date(this.cycleEnd).toISOString()
    if (leavesTrace) {
      this.events++
      this.lastEventAt = moment
      if (idempotencyKey !== null)
        this.remembered.set(idempotencyKey, { at: moment, keyId: key.id, credits, operation, verdict, remaining, cycleEnd })
      if (verdict === 'charged') {
        const used = key.used.get(this.cycleStart) ?? { credits: 0, charges: 0 }
        key.used.set(this.cycleStart, { credits: used.credits + credits, charges: used.charges + 1 })
      }
    }
    return answer(verdict, { ...about, remaining, cycleEnd, replayed: false }, credits)
  }

  #decide(credits: number, key: ModelKey, secret: ModelSecret, moment: number): 'charged' | Refusal {
    if (key.isRevoked) return 'revoked'
    if (key.isDisabled) return 'disabled'
    if (key.expiresAt !== null && key.expiresAt <= moment) return 'expired'
    if (secret.validUntil !== null && secret.validUntil <= moment) return 'expired'
    if (this.isSuspended) return 'account_suspended'
    if (credits > this.creditsPerCycle - this.creditsUsed) return 'insufficient_credits'
    // A limit may be set below what has been used: 0 credits are never too many.
    if (credits > 0 && key.creditLimit !== null && key.usedIn(this.cycleStart) + credits > key.creditLimit)
      return 'key_limit_exceeded'
    return 'charged'
  }
}

type Known = Omit<Extract<Verdict, { verdict: Refusal }>, 'verdict'>

function answer(verdict: 'charged' | Refusal, known: Known, credits: number): Verdict {
  return verdict === 'charged' ? { verdict, ...known, credits } : { verdict, ...known }
}
