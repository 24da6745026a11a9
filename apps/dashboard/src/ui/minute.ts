import { createStore } from './store.ts'

const MINUTE_MS = 60_000

/** One timer for all that must be said anew as time goes by. */
const minuteStore = createStore(0)
setInterval(() => minuteStore.set(minuteStore.get() + 1), MINUTE_MS)

/** Renders whoever calls it once a minute. */
export const useMinute = minuteStore.use
