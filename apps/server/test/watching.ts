import { setTimeout as sleep } from 'node:timers/promises'
import type { UsageSnapshot } from '@keymeter/contract'

/** A stream of `usage.watch`, as a client without any library reads it. */
export interface Watching {
  snapshots: { id: string; data: UsageSnapshot; at: number }[]
  /** Names of all events that came, pings included. */
  events: string[]
  error: { data: { reason: string; requestId: string } } | null
  headers: Headers
  /** Resolves when the server has ended it, in whatever way. */
  ended: Promise<void>
  close(): void
}

/** Opens one, and resolves as soon as the server answers. */
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
    snapshots: [],
    events: [],
    error: null,
    headers: response.headers,
    ended: read().catch(() => {}),
    close: () => closing.abort(),
  }
  async function read() {
    // After `watching` is there.
    await Promise.resolve()
    let text = ''
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
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
    if (name === 'message') watching.snapshots.push({ id, data: JSON.parse(data), at: performance.now() })
    if (name === 'serialized-error') watching.error = JSON.parse(data)
  }
  return watching
}

/** Waits until `isSo`, and fails when it has not become so in time. */
export async function waitUntil(what: string, isSo: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  for (const deadline = performance.now() + withinMs; !(await isSo()); await sleep(5))
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
}
