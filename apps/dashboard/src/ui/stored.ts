import type { z } from 'zod'
import { createStore, type Store } from './store.ts'

/**
 * A store whose value is kept in this browser's local storage, as a text. All tabs share it. An invalid stored text counts as
 * `initial`, because people and extensions can change the storage.
 */
export function createStored<T extends string>(key: string, schema: z.ZodType<T>, initial: T): Store<T> {
  const parse = (text: string | null) => schema.safeParse(text).data ?? initial
  const store = createStore(parse(read(key)))
  // Unit tests import this file without a browser.
  if (typeof window !== 'undefined')
    window.addEventListener('storage', (event) => {
      // If another tab clears the whole storage, the event has no key.
      if (event.key === key || event.key === null) store.set(parse(event.newValue))
    })
  return {
    ...store,
    set: (value) => {
      store.set(value)
      write(key, value === initial ? null : value)
    },
  }
}

/** A browser can forbid the use of its storage. The choice then lasts until the page is closed. */
function read(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

function write(key: string, text: string | null): void {
  try {
    if (text === null) localStorage.removeItem(key)
    else localStorage.setItem(key, text)
  } catch {
    // The store in memory has the value.
  }
}
