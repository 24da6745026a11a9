import type { TrackedEnvelope } from '@trpc/server'
import { isTrackedEnvelope, tracked } from '@trpc/server'
import { z } from 'zod'

/** Returns the output schema of a subscription, which is a stream of tracked events. `event` validates each event. */
export function streamOf<Event extends z.ZodType>(event: Event) {
  type Stream = AsyncIterable<TrackedEnvelope<z.infer<Event>>>
  return z
    .custom<Stream>((value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value)
    .transform(async function* (stream): Stream {
      for await (const envelope of stream) {
        if (!isTrackedEnvelope(envelope)) throw new Error('an event of a stream has no id: yield it with tracked()')
        yield tracked(envelope[0], event.parse(envelope[1]))
      }
    })
    .meta({ event })
}
