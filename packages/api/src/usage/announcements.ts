import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, listen } from '@keymeter/db'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { UsageWatch } from './watch.ts'

const CHANNEL = 'keymeter_usage'
/** The pause between two announcements of one process. */
const PAUSE_MS = 100
/**
 * The payload of a notification must be shorter than 8,000 bytes. The id of an account or a process and a space take 37 bytes.
 */
const ACCOUNTS_PER_MESSAGE_MAX = 200
/** If the process does not receive its own test message within this time, it warns that announcements do not arrive. */
const ARRIVES_WITHIN_MS = 5_000

/** Announces to all processes of the server which accounts have a changed balance. */
export interface UsageAnnouncer {
  /** Identifies the process in its messages. */
  readonly id: string
  /**
   * Refreshes the watchers of this process immediately, and announces the accounts to the other processes. Returns immediately.
   * If an account changes several times before the next announcement, it is announced only once.
   */
  announce(userIds: Iterable<string>): void
  /** Resolves when all pending announcements have been sent. */
  flush(): Promise<void>
  /**
   * Sends a message without accounts, so that the process can find out whether it receives messages.
   *
   * @throws Error if the database does not accept the message.
   */
  test(): Promise<void>
}

/**
 * Creates the announcer of one process. It sends the announcements after the commit of a charge, in separate statements. A
 * transaction that contains a notification holds a lock of the whole cluster while it commits. With the notification in the
 * transaction, charges would therefore commit one after the other.
 *
 * If the process or the database stops before an announcement is sent, the announcement is lost. For this reason, watched
 * accounts are also read every 15 seconds.
 */
export function createUsageAnnouncer(db: Db, watch: Pick<UsageWatch, 'refresh'>, log: Logger): UsageAnnouncer {
  const id = randomUUID()
  const pending = new Set<string>()
  let sending: Promise<void> | null = null
  const send = async () => {
    while (pending.size > 0) {
      const userIds = [...pending]
      pending.clear()
      await announceUsage(db, userIds, id).catch((error) =>
        log.warn({ err: error }, 'could not announce usage; dashboards show it within 15 seconds'),
      )
      await sleep(PAUSE_MS)
    }
    sending = null
  }
  return {
    id,
    announce: (userIds) => {
      const changed = [...userIds]
      watch.refresh(changed)
      for (const userId of changed) pending.add(userId)
      sending ??= send()
    },
    flush: async () => {
      await sending
    },
    test: async () => await notify(db, [id]),
  }
}

/**
 * Sends an announcement. If `db` is a transaction, Postgres sends the announcement with the commit. In the whole cluster,
 * transactions that contain an announcement commit one after the other.
 *
 * @param sender The process that has already refreshed its own watchers. By default every process refreshes its watchers.
 */
export async function announceUsage(db: Db, userIds: string[], sender = 'nobody'): Promise<void> {
  const messages: string[] = []
  for (let i = 0; i < userIds.length; i += ACCOUNTS_PER_MESSAGE_MAX)
    messages.push([sender, ...userIds.slice(i, i + ACCOUNTS_PER_MESSAGE_MAX)].join(' '))
  await notify(db, messages)
}

async function notify(db: Db, messages: string[]): Promise<void> {
  await sql`select pg_notify(${CHANNEL}, message) from unnest(${messages}::text[]) as message`.execute(db)
}

/**
 * Refreshes the accounts in `watch` that other processes announce. After a reconnect it refreshes all accounts, because
 * announcements were perhaps lost.
 *
 * A pooler in transaction mode accepts LISTEN but delivers no notifications. So the process sends itself a message over
 * `announcer`. If the message does not come back, `listenForUsage` warns once.
 */
export function listenForUsage(
  databaseUrl: string,
  announcer: Pick<UsageAnnouncer, 'id' | 'test'>,
  watch: Pick<UsageWatch, 'refresh' | 'refreshAll'>,
  log: Logger,
): { close(): Promise<void> } {
  let hasReceived = false
  let hasWarned = false
  /** The number of the current connection. The result of a test on an earlier connection is ignored. */
  let connection = 0
  const afterPause = (next: () => void) => setTimeout(next, ARRIVES_WITHIN_MS).unref()
  const testArrival = async (tested: number) => {
    try {
      await announcer.test()
    } catch {
      // The database is unavailable, so the result of the test is unknown.
      afterPause(() => void (tested === connection && testArrival(tested)))
      return
    }
    afterPause(() => {
      if (tested !== connection || hasReceived || hasWarned) return
      hasWarned = true
      log.warn(
        'announcements of usage do not arrive, so dashboards show the charges of other processes only after up to 15 seconds: set DATABASE_DIRECT_URL to a URL of the same database that does not lead to a pooler in transaction mode',
      )
    })
  }
  const listener = listen(databaseUrl, CHANNEL, {
    onMessage: (message) => {
      const [sender, ...userIds] = message.split(' ')
      if (sender === announcer.id) hasReceived = true
      else watch.refresh(userIds)
    },
    onListening: () => {
      watch.refreshAll()
      hasReceived = false
      void testArrival(++connection)
    },
    onError: (error) => {
      connection++
      log.warn({ err: error }, 'the connection that listens for usage broke; reconnecting')
    },
  })
  return {
    close: async () => {
      connection++
      await listener.close()
    },
  }
}
