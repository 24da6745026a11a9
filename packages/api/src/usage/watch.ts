import { STREAMS_PER_ACCOUNT_MAX, type UsageSnapshot } from '@keymeter/contract'
import type { Logger } from 'pino'
import { AppError } from '../errors.ts'

/** An account is read at most this often, however many charges are announced and however many watch it. */
const READ_PAUSE_MS = 200
/** Of all accounts together, so that the pool stays free for other calls. */
const READS_AT_ONCE_MAX = 4
/** Watched accounts are read this often anyway: an announcement may be lost, a cycle turns without one. */
const REREAD_INTERVAL_MS = 15_000
/** Whatever the token says, a stream ends after this time, and its client opens another. */
const STREAM_MS_MAX = 3_600_000

type Snapshot = Omit<UsageSnapshot, 'requestId'>

interface Watcher {
  read: () => Promise<Snapshot | null>
  /** The latest snapshot that was not given yet. There is one at most, however slow the client is. */
  next: Snapshot | null
  /** The last one that was given, as text. */
  given: string
  isEnded: boolean
  wake: () => void
}

interface Account {
  watchers: Set<Watcher>
  isStale: boolean
  /** From when it waits to be read until it has rested after. */
  isBusy: boolean
}

/** What one process shows of spending to whoever watches. It reads the database when told that there is something to read. */
export class UsageWatch {
  readonly #log: Logger
  readonly #accounts = new Map<string, Account>()
  /** Accounts that wait to be read, each once. */
  readonly #queue: Account[] = []
  #readsAtOnce = 0
  #rereading: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(log: Logger) {
    this.#log = log
  }

  /**
   * The account's spending: as it is now, and whenever it has changed since. Nothing is missed, since the account is watched
   * before it is read; when it changes faster than the client takes it, what is between is left out.
   *
   * The stream never ends in the regular way, which would tell clients not to come back, but breaks off: when `signal` is
   * aborted, at `endsAt`, and when this process stops. A client then opens another, with a token that is good.
   *
   * @param read reads the account. Whoever watches the same account shares one read.
   * @throws AppError `too_many_streams`
   */
  async *watch(
    userId: string,
    read: () => Promise<Snapshot | null>,
    { endsAt, signal }: { endsAt: Date; signal: AbortSignal | undefined },
  ): AsyncGenerator<Snapshot, never> {
    const account = this.#accounts.get(userId) ?? { watchers: new Set(), isStale: false, isBusy: false }
    if (account.watchers.size >= STREAMS_PER_ACCOUNT_MAX) throw new AppError('too_many_streams')
    const watcher: Watcher = {
      read,
      next: null,
      given: '',
      isEnded: this.#isClosed || signal?.aborted === true,
      wake: () => {},
    }
    const end = () => this.#end(userId, watcher)
    const ending = setTimeout(end, Math.min(endsAt.getTime() - Date.now(), STREAM_MS_MAX))
    signal?.addEventListener('abort', end)
    account.watchers.add(watcher)
    this.#accounts.set(userId, account)
    this.#rereading ??= setInterval(() => this.refreshAll(), REREAD_INTERVAL_MS).unref()
    this.#refresh(account)
    try {
      for (;;) {
        while (watcher.next === null && !watcher.isEnded)
          await new Promise<void>((resolve) => {
            watcher.wake = resolve
          })
        if (watcher.next === null || watcher.isEnded) throw new DOMException('The stream ends.', 'AbortError')
        const snapshot = watcher.next
        watcher.next = null
        watcher.given = JSON.stringify(snapshot)
        yield snapshot
      }
    } finally {
      clearTimeout(ending)
      signal?.removeEventListener('abort', end)
      end()
    }
  }

  /** To be called when the spending of these accounts may have changed. Those that nobody watches cost nothing. */
  refresh(userIds: Iterable<string>): void {
    for (const userId of userIds) {
      const account = this.#accounts.get(userId)
      if (account !== undefined) this.#refresh(account)
    }
  }

  refreshAll(): void {
    this.refresh(this.#accounts.keys())
  }

  /** Ends every stream, and each new one at once. */
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
    if (this.#readsAtOnce >= READS_AT_ONCE_MAX) return
    const account = this.#queue.shift()
    if (account === undefined) return
    this.#readsAtOnce++
    // Before it is read: whatever is announced from now on is read again.
    account.isStale = false
    try {
      const [first] = account.watchers
      const snapshot = (await first?.read()) ?? null
      if (snapshot !== null) show(account, snapshot)
    } catch (error) {
      // Tried again with the next announcement, when listening starts again, or in a few seconds.
      this.#log.warn({ err: error }, 'could not read the usage that somebody watches')
    }
    this.#readsAtOnce--
    setTimeout(() => {
      account.isBusy = false
      if (account.isStale && account.watchers.size > 0) this.#refresh(account)
    }, READ_PAUSE_MS).unref()
    void this.#readNext()
  }
}

function show({ watchers }: Account, snapshot: Snapshot): void {
  const text = JSON.stringify(snapshot)
  for (const watcher of watchers) {
    watcher.next = text === watcher.given ? null : snapshot
    watcher.wake()
  }
}
