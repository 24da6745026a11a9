import { EventSource } from 'eventsource'

/** The server says something more often than this: a stream that is silent for longer is dead. */
const SILENCE_MS_MAX = 25_000
/** After a refusal, or an answer that is no stream. What merely broke is opened again sooner, by the library. */
const REOPEN_PAUSE_MS = 10_000
const REFRESH_PAUSE_MS = 300

export interface WatchUsageOptions {
  accessToken: () => Promise<string | null>
  /** Called at first, and soon after each change, but never while the call before is still under way. */
  refresh: () => Promise<unknown>
  onOpenChange: (isOpen: boolean) => void
  signal: AbortSignal
}

/**
 * Keeps a stream of `usage.watch` open until `signal` is aborted, but only while the page is looked at: a browser has few
 * connections to one server, and nobody reads a hidden page.
 *
 * Without tRPC's own link for streams, which would be loaded at the start with the rest of its module.
 */
export function watchUsage({ accessToken, refresh, onOpenChange, signal }: WatchUsageOptions): void {
  const onChange = oneAtATime(refresh, REFRESH_PAUSE_MS)
  let source: EventSource | null = null
  let reopening: ReturnType<typeof setTimeout> | undefined
  const close = () => {
    clearTimeout(reopening)
    source?.close()
    source = null
    onOpenChange(false)
  }
  const reopenIn = (ms: number) => {
    clearTimeout(reopening)
    reopening = setTimeout(() => {
      close()
      open()
    }, ms)
  }
  const open = () => {
    // Not the browser's own, which sends no headers: a token in the address would stand in every access log. It is asked for
    // each time that the library connects, because the server ends a stream with its token.
    const opened = new EventSource('/trpc/usage.watch', {
      fetch: async (url, init) => {
        const token = await accessToken()
        return await fetch(url, { ...init, headers: { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) } })
      },
    })
    const isAlive = () => {
      onOpenChange(true)
      reopenIn(SILENCE_MS_MAX)
    }
    opened.addEventListener('ping', isAlive)
    opened.addEventListener('message', () => {
      isAlive()
      onChange()
    })
    // A refusal, after which the library would come back at once.
    opened.addEventListener('serialized-error', () => {
      close()
      reopenIn(REOPEN_PAUSE_MS)
    })
    opened.addEventListener('error', () => {
      onOpenChange(false)
      if (opened.readyState === opened.CLOSED) reopenIn(REOPEN_PAUSE_MS)
    })
    source = opened
    reopenIn(SILENCE_MS_MAX)
  }
  const update = () => {
    close()
    if (document.visibilityState === 'visible' && !signal.aborted) open()
  }
  document.addEventListener('visibilitychange', update, { signal })
  signal.addEventListener('abort', close)
  update()
}

/** A function that does `work`, and once more when it was called meanwhile. */
function oneAtATime(work: () => Promise<unknown>, pauseMs: number): () => void {
  let isRunning = false
  let isDue = false
  const run = async () => {
    isRunning = true
    while (isDue) {
      isDue = false
      await work()
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    isRunning = false
  }
  return () => {
    isDue = true
    if (!isRunning) void run()
  }
}
