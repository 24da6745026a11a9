import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, listen } from '@keymeter/db'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { UsageWatch } from './watch.ts'

const CHANNEL = 'keymeter_usage'
/** The pause between two announcements of one process. */
const PAUSE_MS = 100
/** The payload of a notification must be shorter than 8,000 bytes. The id of an account and a space take 37 bytes. */
const ACCOUNTS_PER_MESSAGE_MAX = 200

/** Announces to all processes of the server which accounts have a changed balance. */
export interface UsageAnnouncer {
  /** Returns immediately. If an account changes several times before the next announcement, it is announced only once. */
  announce(userIds: Iterable<string>): void
  /** Resolves when all pending announcements have been sent. */
  flush(): Promise<void>
}

/**
 * Creates the announcer of one process. It sends the announcements after the commit of a charge, in separate statements. A
 * transaction that contains a notification holds a lock of the whole cluster while it commits. With the notification in the
 * transaction, charges would therefore commit one after the other.
 *
 * If the process or the database stops before an announcement is sent, the announcement is lost. For this reason, watched
 * accounts are also read every 15 seconds.
 */
export function createUsageAnnouncer(db: Db, log: Logger): UsageAnnouncer {
  const pending = new Set<string>()
  let sending: Promise<void> | null = null
  const send = async () => {
    while (pending.size > 0) {
      const userIds = [...pending]
      pending.clear()
      await announceUsage(db, userIds).catch((error) =>
        log.warn({ err: error }, 'could not announce usage; dashboards show it within 15 seconds'),
      )
      await sleep(PAUSE_MS)
    }
    sending = null
  }
  return {
    announce: (userIds) => {
      for (const userId of userIds) pending.add(userId)
      sending ??= send()
    },
    flush: async () => {
      await sending
    },
  }
}

/**
 * Sends an announcement. If `db` is a transaction, Postgres sends the announcement with the commit. In the whole cluster,
 * transactions that contain an announcement commit one after the other.
 */
export async function announceUsage(db: Db, userIds: string[]): Promise<void> {
  const messages: string[] = []
  for (let i = 0; i < userIds.length; i += ACCOUNTS_PER_MESSAGE_MAX)
    messages.push(userIds.slice(i, i + ACCOUNTS_PER_MESSAGE_MAX).join(' '))
  await sql`select pg_notify(${CHANNEL}, message) from unnest(${messages}::text[]) as message`.execute(db)
}

/**
 * Refreshes the announced accounts in `watch`. After a reconnect it refreshes all accounts, because announcements were perhaps
 * lost.
 */
export function listenForUsage(
  databaseUrl: string,
  watch: Pick<UsageWatch, 'refresh' | 'refreshAll'>,
  log: Logger,
): { close(): Promise<void> } {
  return listen(databaseUrl, CHANNEL, {
    onMessage: (message) => watch.refresh(message.split(' ')),
    onListening: () => watch.refreshAll(),
    onError: (error) => log.warn({ err: error }, 'the connection that listens for usage broke; reconnecting'),
  })
}
