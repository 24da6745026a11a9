import { createStore } from './store.ts'

const MINUTE_MS = 60_000

/** All texts that depend on the current time, e.g. "3 hours ago", share one timer. */
const minuteStore = createStore(0)
setInterval(() => minuteStore.set(minuteStore.get() + 1), MINUTE_MS)

/** Makes the component render again every minute. */
export const useMinute = minuteStore.use
