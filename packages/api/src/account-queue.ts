import { AppError } from './errors.ts'
import { pauseBeforeRefusal } from './pause-before-refusal.ts'

/** The maximum number of calls of one account that wait. Then calls are refused after a short pause. */
export const WAITING_MAX = 100
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
  /** The person who makes the call. The people of an account take turns. Without a person, the call belongs to Keymeter itself. */
  person?: string
}

interface Waiting {
  start: () => void
  /** Refuses the call, because another person has fewer calls that wait. Null for a patient call. */
  makePlace: (() => void) | null
}

interface Account {
  running: number
  /** The calls that wait, by person, in the order in which they arrived. The first person has the next turn. */
  waiting: Map<string, Set<Waiting>>
}

/**
 * Limits how many calls of one account run at the same time in this process. Further calls of the account wait. So an
 * account that sends many calls at once delays only its own calls, and the other connections of the pool stay free for other
 * accounts.
 *
 * The calls of one person wait in order, and the people of an account take turns. If no place is left, the person with the most waiting
 * calls loses the last one. So a member who floods the account cannot prevent that an owner removes this member.
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
   *   wait and no person has more of them.
   */
  async enter(userId: string, options: WaitOptions = {}): Promise<() => void> {
    const account = this.#accounts.get(userId) ?? { running: 0, waiting: new Map() }
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
      if (next !== undefined) startNext(account, ...next)
      else account.running--
      if (account.running === 0) this.#accounts.delete(userId)
    }
    const pauses = Math.min(countOf(account), TURN_PAUSE_FACTOR_MAX)
    if (pauses === 0) passOn()
    else setTimeout(passOn, Math.min(tookMs * pauses, TURN_PAUSE_MS_MAX))
  }
}

function startNext({ waiting }: Account, person: string, calls: Set<Waiting>): void {
  // The person goes to the end.
  waiting.delete(person)
  waiting.set(person, calls)
  const [next] = calls
  next?.start()
}

function countOf({ waiting }: Account): number {
  let count = 0
  for (const calls of waiting.values()) count += calls.size
  return count
}

/** Takes the last place of the person with the most waiting calls. Returns false if no person has more of them than `person`. */
function takePlace({ waiting }: Account, person: string): boolean {
  let most = waiting.get(person) ?? new Set<Waiting>()
  for (const calls of waiting.values()) if (calls.size > most.size) most = calls
  const last = [...most].findLast(({ makePlace }) => makePlace !== null)
  if (most === waiting.get(person) || last === undefined) return false
  last.makePlace?.()
  return true
}

async function waitForTurn(account: Account, { isPatient = false, person = '' }: WaitOptions): Promise<void> {
  if (!isPatient && countOf(account) >= WAITING_MAX && !takePlace(account, person)) {
    await pauseBeforeRefusal()
    throw new AppError('account_busy')
  }
  const { waiting } = account
  await new Promise<void>((resolve, reject) => {
    const calls = waiting.get(person) ?? new Set()
    waiting.set(person, calls)
    const leave = () => {
      clearTimeout(timer)
      calls.delete(call)
      if (calls.size === 0) waiting.delete(person)
    }
    const refuse = () => reject(new AppError('account_busy'))
    const timer = isPatient
      ? undefined
      : setTimeout(() => {
          leave()
          refuse()
        }, WAIT_MS_MAX)
    const call: Waiting = {
      start: () => {
        leave()
        resolve()
      },
      makePlace: isPatient
        ? null
        : () => {
            leave()
            void pauseBeforeRefusal().then(refuse)
          },
    }
    calls.add(call)
  })
}
