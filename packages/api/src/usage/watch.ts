import { STREAMS_PER_ACCOUNT_MAX, type UsageSnapshot } from '@keymeter/contract'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'
import type { Caller } from '../scope.ts'

/** The shortest time between two reads of one account. All watchers of the account share the reads. */
const READ_PAUSE_MS = 200
/** The maximum number of concurrent reads of all accounts. The other connections of the pool stay free for other calls. */
const CONCURRENT_READS_MAX = 4
/** The smallest pool for calls: one connection for each of these reads, and one for all other calls. */
export const CALL_CONNECTIONS_MIN = CONCURRENT_READS_MAX + 1
/**
 * Watched accounts are also read at this interval, because an announcement can get lost, and because the start of a new cycle
 * is not announced.
 */
const REREAD_INTERVAL_MS = 15_000
/** A stream ends after this time, even if its access token is valid for longer. The client then opens another stream. */
const STREAM_MS_MAX = 3_600_000

type Snapshot = Omit<UsageSnapshot, 'requestId'>

/** A watched account. `snapshot` is null if the account does not exist yet. */
export interface AccountNow {
  snapshot: Snapshot | null
  /** The ids of the members. Other people get no snapshot, and their streams end. */
  memberIds: ReadonlySet<string>
  /** True if the streams of members without a second factor end, too. */
  needsSecondFactor: boolean
}

interface Watcher {
  member: Pick<Caller, 'userId' | 'isSecondFactor'>
  read: () => Promise<AccountNow>
  /** The latest snapshot that the client has not taken yet. A newer snapshot replaces it, so a slow client needs no queue. */
  next: Snapshot | null
  /** The last snapshot that the client took, as JSON. */
  sent: string
  isEnded: boolean
  wake: () => void
}

interface Account {
  watchers: Set<Watcher>
  isStale: boolean
  /** True from the time when the account is queued for a read until the pause after that read is over. */
  isBusy: boolean
}

/**
 * The streams of one process. When a change of an account is announced, the process reads the account and sends the snapshot
 * to all its watchers.
 */
export class UsageWatch {
  readonly #log: Logger
  readonly #accounts = new Map<string, Account>()
  /** The accounts that wait for a read. Each account is in the queue at most once. */
  readonly #queue: Account[] = []
  #concurrentReads = 0
  #rereading: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(log: Logger) {
    this.#log = log
  }

  /**
   * Yields the current snapshot of the account, and another one after each change. No change is missed, because the account is
   * watched before it is first read. If several changes occur before the client takes a snapshot, the client gets only the
   * latest one.
   *
   * The stream never ends normally, because the client would then not reconnect. It throws when `signal` is aborted, at
   * `endsAt`, and when this process stops. The client then opens another stream with a valid token.
   *
   * A stream that is refused throws immediately, so that its response can have the status of the error.
   *
   * @param member The member who watches. The caller has checked that the member may read the account. When the member may no longer
   *   read it, the stream ends too.
   * @param read Reads the account. All watchers of the account share one read.
   * @throws AppError `too_many_streams`
   */
  watch(
    userId: string,
    member: Watcher['member'],
    read: () => Promise<AccountNow>,
    { endsAt, signal }: { endsAt: Date; signal: AbortSignal | undefined },
  ): AsyncGenerator<Snapshot, never> {
    const account = this.#accounts.get(userId) ?? { watchers: new Set(), isStale: false, isBusy: false }
    if (account.watchers.size >= STREAMS_PER_ACCOUNT_MAX) throw new AppError('too_many_streams')
    const watcher: Watcher = {
      member,
      read,
      next: null,
      sent: '',
      isEnded: this.#isClosed || signal?.aborted === true,
      wake: () => {},
    }
    const end = () => {
      clearTimeout(ending)
      signal?.removeEventListener('abort', end)
      this.#end(userId, watcher)
    }
    const ending = setTimeout(end, Math.min(endsAt.getTime() - Date.now(), STREAM_MS_MAX))
    signal?.addEventListener('abort', end)
    account.watchers.add(watcher)
    this.#accounts.set(userId, account)
    this.#rereading ??= setInterval(() => this.refreshAll(), REREAD_INTERVAL_MS).unref()
    this.#refresh(account)
    return snapshotsOf(watcher, end)
  }

  /** The number of accounts with an open stream. */
  get size(): number {
    return this.#accounts.size
  }

  /** Reads these accounts again and sends the changes to their watchers. Accounts without a watcher are ignored. */
  refresh(userIds: Iterable<string>): void {
    for (const userId of userIds) {
      const account = this.#accounts.get(userId)
      if (account !== undefined) this.#refresh(account)
    }
  }

  refreshAll(): void {
    this.refresh(this.#accounts.keys())
  }

  /** Ends every stream. A stream that is opened later ends immediately. */
  close(): void {
    this.#isClosed = true
    for (const [userId, { watchers }] of this.#accounts) for (const watcher of watchers) this.#end(userId, watcher)
  }

  #end(userId: string, watcher: Watcher): void {
    watcher.isEnded = true
    watcher.wake()
    const account = this.#accounts.get(userId)
    account?.watchers.delete(watcher)
    if (account?.watchers.size === 0) this.#accounts.delete(userId)
    if (this.#accounts.size > 0 || this.#rereading === null) return
    clearInterval(this.#rereading)
    this.#rereading = null
  }

  #refresh(account: Account): void {
    account.isStale = true
    if (account.isBusy) return
    account.isBusy = true
    this.#queue.push(account)
    void this.#readNext()
  }

  async #readNext(): Promise<void> {
    if (this.#concurrentReads >= CONCURRENT_READS_MAX) return
    const account = this.#queue.shift()
    if (account === undefined) return
    this.#concurrentReads++
    // Reset `isStale` before the read, so that an announcement during the read causes another read.
    account.isStale = false
    try {
      const [first] = account.watchers
      const now = await first?.read()
      if (now !== undefined) send(account, now)
    } catch (error) {
      // The account is read again after the next announcement, after a reconnect of the listener, or at the next regular read.
      this.#log.warn({ err: error }, 'could not read the balance of a watched account; trying again within 15 seconds')
    }
    this.#concurrentReads--
    setTimeout(() => {
      account.isBusy = false
      if (account.isStale && account.watchers.size > 0) this.#refresh(account)
    }, READ_PAUSE_MS).unref()
    void this.#readNext()
  }
}

async function* snapshotsOf(watcher: Watcher, end: () => void): AsyncGenerator<Snapshot, never> {
  try {
    for (;;) {
      while (watcher.next === null && !watcher.isEnded)
        await new Promise<void>((resolve) => {
          watcher.wake = resolve
        })
      if (watcher.next === null || watcher.isEnded) throw new DOMException('The stream ends.', 'AbortError')
      const snapshot = watcher.next
      watcher.next = null
      watcher.sent = JSON.stringify(snapshot)
      yield snapshot
    }
  } finally {
    end()
  }
}

function send({ watchers }: Account, { snapshot, memberIds, needsSecondFactor }: AccountNow): void {
  if (snapshot === null) return
  const text = JSON.stringify(snapshot)
  for (const watcher of watchers) {
    const { userId, isSecondFactor } = watcher.member
    if (!memberIds.has(userId) || (needsSecondFactor && !isSecondFactor)) {
      // Its stream ends without the snapshot. The client opens another stream, which is refused.
      watcher.isEnded = true
      watcher.next = null
      watcher.wake()
      continue
    }
    watcher.next = text === watcher.sent ? null : snapshot
    watcher.wake()
  }
}
