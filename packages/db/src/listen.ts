import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** A connection counts as dead if it does not answer a ping within `TIMEOUT_MS`. */
const PING_INTERVAL_MS = 15_000
const TIMEOUT_MS = 5_000
const RECONNECT_PAUSE_MS_MIN = 100
const RECONNECT_PAUSE_MS_MAX = 5_000

export interface ListenHandlers {
  onMessage: (payload: string) => void
  /** Called when a connection has started to listen. Messages that were sent while no connection was listening are lost. */
  onListening: () => void
  /** Called when the connection breaks or cannot be opened. `listen` opens another connection after a pause. */
  onError: (error: Error) => void
}

/**
 * Listens to a channel on a separate connection. If that connection breaks, `listen` opens another one. `url` must lead
 * directly to Postgres: a pooler in transaction mode would give the listening connection to another client.
 */
export function listen(url: string, channel: string, handlers: ListenHandlers): { close(): Promise<void> } {
  const closing = new AbortController()
  const listening = keepListening(url, channel, handlers, closing.signal)
  return {
    close: async () => {
      closing.abort()
      await listening
    },
  }
}

async function keepListening(url: string, channel: string, handlers: ListenHandlers, closing: AbortSignal): Promise<void> {
  let pauseMs = RECONNECT_PAUSE_MS_MIN
  const onListening = () => {
    pauseMs = RECONNECT_PAUSE_MS_MIN
    handlers.onListening()
  }
  while (!closing.aborted) {
    const error = await listenOnce(url, channel, { ...handlers, onListening }, closing)
    if (closing.aborted) return
    handlers.onError(error)
    await pause(pauseMs, closing)
    pauseMs = Math.min(pauseMs * 2, RECONNECT_PAUSE_MS_MAX)
  }
}

/** Listens until the connection ends, and returns the reason why it ended. */
async function listenOnce(url: string, channel: string, handlers: ListenHandlers, closing: AbortSignal): Promise<Error> {
  const socket = new Socket()
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    stream: () => socket,
    application_name: 'keymeter listener',
  })
  const broken = Promise.withResolvers<Error>()
  client.on('error', broken.resolve)
  client.on('end', () => broken.resolve(new Error('The connection that listens was closed.')))
  client.on('notification', ({ payload = '' }) => handlers.onMessage(payload))
  const onClosing = () => broken.resolve(new Error('closing'))
  closing.addEventListener('abort', onClosing)
  const work = async () => {
    await client.connect()
    await client.query(`listen ${client.escapeIdentifier(channel)}`)
    handlers.onListening()
    for (;;) {
      await pause(PING_INTERVAL_MS, closing)
      if (socket.destroyed) throw new Error('The connection that listens is closed.')
      await client.query('select 1')
    }
  }
  try {
    return await Promise.race([broken.promise, work()])
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    closing.removeEventListener('abort', onClosing)
    // `client.end()` would wait for an answer, but the connection is perhaps dead.
    socket.destroy()
  }
}

/** Waits `ms` without keeping the process alive. The wait ends early if `signal` is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { ref: false, signal }).catch(() => {})
}
