import { useSyncExternalStore } from 'react'

/**
 * A value that is stored only in memory and outside React. The value is kept when a component disappears and appears again. Use
 * a store for a secret that the server does not return again, or for the state of a call.
 */
export interface Store<T> {
  get(): T
  set(value: T): void
  use(): T
  /** Calls `listener` with each later value. */
  listen(listener: (value: T) => void): void
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial
  const listeners = new Set<() => void>()
  const subscribe = (listener: () => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const get = () => value
  return {
    get,
    set: (next) => {
      value = next
      for (const listener of listeners) listener()
    },
    use: () => useSyncExternalStore(subscribe, get),
    listen: (listener) => void subscribe(() => listener(value)),
  }
}
