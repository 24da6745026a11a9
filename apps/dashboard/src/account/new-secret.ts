import type { NewKey } from '@keymeter/contract'
import { currentSession } from '../call/session.ts'
import { createStore } from '../ui/store.ts'

/**
 * The keys whose secrets are still to be saved, in the order that they came: a key may be created while the first one is
 * on its way. Nowhere else in the page: not in a cache, a URL or storage.
 */
const store = createStore<{ userId: string; key: NewKey }[]>([])

/** The next secret to show. A session that merely ended takes none with it. */
export function useNewSecret(): NewKey | undefined {
  return store.use()[0]?.key
}

/** Shows the secret of `userId`'s key, unless someone else has signed in since it was asked for. */
export function showSecret(userId: string, key: NewKey): void {
  const current = currentSession()?.user.id ?? userId
  if (current === userId) store.set([...store.get(), { userId, key }])
}

/** Forgets that one alone: a key that was rotated meanwhile may have another on its way. */
export function forgetSecret({ keyPrefix }: NewKey): void {
  store.set(store.get().filter((entry) => entry.key.keyPrefix !== keyPrefix))
}

/** Forgets every secret but those of `userId`, who is signed in from now on. */
export function keepSecretsOf(userId: string): void {
  store.set(store.get().filter((entry) => entry.userId === userId))
}
