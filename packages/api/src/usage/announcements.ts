import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, listen } from '@keymeter/db'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { UsageWatch } from './watch.ts'

const CHANNEL = 'keymeter_usage'
/** However many charges there are, announcements are this far apart. */
const PAUSE_MS = 100
/** Postgres takes less than 8,000 bytes; an id and the space after it are 37. */
const ACCOUNTS_PER_MESSAGE_MAX = 200

/** Tells every process of the server whose spending has changed. */
export interface UsageAnnouncer {
  /** Costs its caller nothing. An account that is charged often meanwhile is announced once. */
  announce(userIds: Iterable<string>): void
  /** Resolves when what was announced so far is on its way. */
  flush(): Promise<void>
}

/**
 * Announces after the commit, in statements of their own: a notification inside the transaction of a charge would hold a lock
 * of the whole cluster while it commits. What is lost when the process ends in between, or the database fails, is made up
 * for: watched accounts are read again every few seconds anyway.
 */
export function createUsageAnnouncer(db: Db, log: Logger): UsageAnnouncer {
  const pending = new Set<string>()
  let sending: Promise<void> | null = null
  const send = async () => {
    while (pending.size > 0) {
      const userIds = [...pending]
      pending.clear()
      await announceUsage(db, userIds).catch((error) => log.warn({ err: error }, 'could not announce usage: it shows later'))
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

/** Inside a transaction it goes with the commit, one such commit of the cluster after the other. */
export async function announceUsage(db: Db, userIds: string[]): Promise<void> {
  const messages: string[] = []
  for (let i = 0; i < userIds.length; i += ACCOUNTS_PER_MESSAGE_MAX)
    messages.push(userIds.slice(i, i + ACCOUNTS_PER_MESSAGE_MAX).join(' '))
  await sql`select pg_notify(${CHANNEL}, message) from unnest(${messages}::text[]) as message`.execute(db)
}

/** Refreshes what `watch` shows at each announcement, and all of it when announcements may have been lost. */
export function listenForUsage(
  databaseUrl: string,
  watch: Pick<UsageWatch, 'refresh' | 'refreshAll'>,
  log: Logger,
): { close(): Promise<void> } {
  return listen(databaseUrl, CHANNEL, {
    onMessage: (message) => watch.refresh(message.split(' ')),
    onListening: () => watch.refreshAll(),
    onError: (error) => log.warn({ err: error }, 'the connection that listens for usage broke: making another one'),
  })
}
