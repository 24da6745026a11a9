import { AppError } from './errors.ts'
import { pauseBeforeRefusal } from './pause-before-refusal.ts'

/** The maximum number of calls of one account that wait. Further calls are refused after a short pause. */
const WAITING_MAX = 100
/** A call that waits longer than this is refused. */
const WAIT_MS_MAX = 2_000
/**
 * If calls of an account wait, each turn of the account begins after a pause: for each waiting call, as long as the previous call
 * took, but at most nine times as long, and not longer than `TURN_PAUSE_MS_MAX`. So the calls of a page hardly wait, and an
 * account with a flood of calls leaves nine tenths of the time to other accounts.
 */
const TURN_PAUSE_FACTOR_MAX = 9
const TURN_PAUSE_MS_MAX = 50

/** The number of memberships that a process remembers. The oldest are forgotten first. */
const MEMBERSHIPS_MAX = 10_000

export interface WaitOptions {
  /**
   * True means that the call waits without a limit. Something else must limit the number of such calls: they are the reads of an
   * export that has already begun, and the number of exports is limited.
   */
  isPatient?: boolean
}

interface Account {
  running: number
  /** The calls that wait, in the order in which they arrived. */
  waiting: Set<() => void>
}

/**
 * Limits how many calls of one account run at the same time in this process. Further calls of the account wait in order. So an
 * account that sends many calls at once delays only its own calls, and the other connections of the pool stay free for other
 * accounts.
 */
export class AccountQueue {
  readonly #callsMax: number
  readonly #accounts = new Map<string, Account>()
  /** The last known membership, by account and person. */
  readonly #memberships = new Map<string, boolean>()

  /** @param callsMax The maximum number of calls of one account that run at the same time. */
  constructor(callsMax: number) {
    this.#callsMax = callsMax
  }

  /** The number of accounts that have a call that runs or waits. */
  get size(): number {
    return this.#accounts.size
  }

  /**
   * Returns where a call of a person on an account waits. All calls on an account wait in one queue, but a person who is not known
   * to be a member waits in a queue of their own. So nobody can delay the calls of an account that is not theirs. A person counts
   * as a member of the account with their own id until a call has shown that they have left it.
   *
   * @param memberId Null if the operator or Keymeter itself makes the call.
   */
  placeOf(accountId: string, memberId: string | null): string {
    const isMember = memberId === null || (this.#memberships.get(`${accountId} ${memberId}`) ?? accountId === memberId)
    return isMember ? accountId : `person ${memberId}`
  }

  /** Remembers that a call has shown that the person is a member of the account, or that the person is not. */
  noteMember(accountId: string, memberId: string, isMember: boolean): void {
    const membership = `${accountId} ${memberId}`
    if (this.#memberships.get(membership) === isMember) return
    this.#memberships.delete(membership)
    this.#memberships.set(membership, isMember)
    const [oldest] = this.#memberships.keys()
    if (this.#memberships.size > MEMBERSHIPS_MAX && oldest !== undefined) this.#memberships.delete(oldest)
  }

  /**
   * Runs `call` when it is its turn.
   *
   * @throws AppError `account_busy`, as `enter`.
   */
  async run<T>(userId: string, call: () => Promise<T>, options?: WaitOptions): Promise<T> {
    const leave = await this.enter(userId, options)
    try {
      return await call()
    } finally {
      leave()
    }
  }

  /**
   * Waits for the turn of a call. The caller must call the returned function exactly once, when the call has ended.
   *
   * @throws AppError `account_busy` if the call waits for 2 seconds, or after a short pause if 100 calls of the account
   *   already wait.
   */
  async enter(userId: string, options: WaitOptions = {}): Promise<() => void> {
    const account = this.#accounts.get(userId) ?? { running: 0, waiting: new Set() }
    this.#accounts.set(userId, account)
    if (account.running < this.#callsMax) account.running++
    else await waitForTurn(account, options)
    const startedAt = performance.now()
    return () => this.#leave(userId, account, performance.now() - startedAt)
  }

  #leave(userId: string, account: Account, tookMs: number): void {
    const passOn = () => {
      const [next] = account.waiting
      // The next call takes over the turn, so `running` does not change.
      if (next !== undefined) next()
      else account.running--
      if (account.running === 0) this.#accounts.delete(userId)
    }
    const pauses = Math.min(account.waiting.size, TURN_PAUSE_FACTOR_MAX)
    if (pauses === 0) passOn()
    else setTimeout(passOn, Math.min(tookMs * pauses, TURN_PAUSE_MS_MAX))
  }
}

async function waitForTurn({ waiting }: Account, { isPatient = false }: WaitOptions): Promise<void> {
  if (waiting.size >= WAITING_MAX && !isPatient) {
    await pauseBeforeRefusal()
    throw new AppError('account_busy')
  }
  await new Promise<void>((resolve, reject) => {
    const giveUp = () => {
      waiting.delete(start)
      reject(new AppError('account_busy'))
    }
    const timer = isPatient ? undefined : setTimeout(giveUp, WAIT_MS_MAX)
    const start = () => {
      clearTimeout(timer)
      waiting.delete(start)
      resolve()
    }
    waiting.add(start)
  })
}
