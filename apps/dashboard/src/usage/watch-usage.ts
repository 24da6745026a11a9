import { EventSource } from 'eventsource'

/** The server sends a ping more often than this. A stream that is silent for this time counts as dead and is opened again. */
const SILENCE_MS_MAX = 25_000
/**
 * The pause before the stream is opened again if the server refused it, or if the response was not a stream. If the connection
 * broke, the library `eventsource` opens the stream again sooner.
 */
const REOPEN_PAUSE_MS = 10_000
const REFRESH_PAUSE_MS = 300

export interface WatchUsageOptions {
  accessToken: () => Promise<string | null>
  account: string
  /** Called when the stream opens, and soon after each change. The next call starts only after the previous call has ended. */
  refresh: () => Promise<unknown>
  onOpenChange: (isOpen: boolean) => void
  signal: AbortSignal
}

/**
 * Keeps a stream of `usage.watch` open until `signal` is aborted. The stream is closed while the page is hidden: a browser
 * opens few connections to one server, and nobody reads a hidden page.
 *
 * tRPC's own link for streams is not used, because it would enlarge the script that every page loads.
 */
export function watchUsage({ accessToken, account, refresh, onOpenChange, signal }: WatchUsageOptions): void {
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
    // The browser's own EventSource is not used: it cannot send headers, and a token in the URL would get into access logs.
    // Each connection gets a fresh token, because the server ends a stream when its token expires.
    const opened = new EventSource('/trpc/usage.watch', {
      fetch: async (url, init) => {
        const token = await accessToken()
        const headers = { ...init.headers, 'x-keymeter-account': account, ...(token && { authorization: `Bearer ${token}` }) }
        return await fetch(url, { ...init, headers })
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
    // The server refused the stream. Close it, because otherwise the library would reconnect immediately.
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

/** Returns a function that runs `work`. If the function is called while `work` runs, `work` runs once more afterwards. */
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
