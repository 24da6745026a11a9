import { setTimeout as sleep } from 'node:timers/promises'
import type { UsageSnapshot } from '@keymeter/contract'

/** A stream of `usage.watch` that is read without a client library. */
export interface Watching {
  /** The status is 200 if the stream has started. */
  status: number
  snapshots: { id: string; data: UsageSnapshot }[]
  /** The names of all events so far, including pings. */
  events: string[]
  /** The error of a stream that was refused, or that failed later. */
  error: { data: { reason: string; requestId: string } } | null
  headers: Headers
  /** Resolves when the stream has ended, for any reason. */
  ended: Promise<void>
  close(): void
}

/** Opens a stream. Resolves when the headers of the response have arrived. */
export async function watchUsage(url: string, token: string | null, lastEventId?: string): Promise<Watching> {
  const closing = new AbortController()
  const response = await fetch(`${url}/trpc/usage.watch`, {
    headers: {
      accept: 'text/event-stream',
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: closing.signal,
  })
  const watching: Watching = {
    status: response.status,
    snapshots: [],
    events: [],
    error: response.ok ? null : ((await response.json()) as { error: NonNullable<Watching['error']> }).error,
    headers: response.headers,
    ended: read().catch(() => {}),
    close: () => closing.abort(),
  }
  async function read() {
    // Wait until `watching` is assigned, because `take` uses `watching`.
    await Promise.resolve()
    let text = ''
    const decoder = new TextDecoder()
    for await (const bytes of (response.ok && response.body) || []) {
      text += decoder.decode(bytes, { stream: true })
      const events = text.split('\n\n')
      text = events.pop() ?? ''
      for (const event of events) take(event)
    }
  }
  function take(event: string) {
    const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(event)?.[1]
    const [name = 'message', data = '', id = ''] = [field('event'), field('data'), field('id')]
    if (event.trim() === '') return
    watching.events.push(name)
    if (name === 'message') watching.snapshots.push({ id, data: JSON.parse(data) })
    if (name === 'serialized-error') watching.error = JSON.parse(data)
  }
  return watching
}

/** Resolves when `isSo` returns true. Only the test's own timeout ends the wait. */
export async function waitUntil(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(20)
}
