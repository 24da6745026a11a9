import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, listen } from '@keymeter/db'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { UsageWatch } from './watch.ts'

const CHANNEL = 'keymeter_usage'
/** The pause between two announcements of this process. */
const PAUSE_MS = 100
/** The payload of a notification must be shorter than 8,000 bytes. An id and a space take 37. */
const ACCOUNTS_PER_MESSAGE_MAX = 200

/** Announces to all processes of the server which accounts have a changed balance. */
export interface UsageAnnouncer {
  /** Returns immediately. Several changes of an account before the next announcement are announced once. */
  announce(userIds: Iterable<string>): void
  /** Resolves after everything that was announced so far is sent. */
  flush(): Promise<void>
}

/**
 * Announcements are sent after the commit, in separate statements: a transaction that contains a notification holds a lock of
 * the whole cluster while it commits, so charges would commit one after the other. If the process or the database stops before
 * an announcement is sent, it is lost. Watched accounts are re-read every 15 seconds for that reason.
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

/** Inside a transaction it is sent with the commit. Only one such transaction of the cluster commits at a time. */
export async function announceUsage(db: Db, userIds: string[]): Promise<void> {
  const messages: string[] = []
  for (let i = 0; i < userIds.length; i += ACCOUNTS_PER_MESSAGE_MAX)
    messages.push(userIds.slice(i, i + ACCOUNTS_PER_MESSAGE_MAX).join(' '))
  await sql`select pg_notify(${CHANNEL}, message) from unnest(${messages}::text[]) as message`.execute(db)
}

/** Refreshes the announced accounts in `watch`, and all accounts after a reconnect, because announcements may have got lost. */
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
