import type { NewKey } from '@keymeter/contract'
import { currentSession } from '../call/session.ts'
import { createStore } from '../ui/store.ts'

/**
 * The keys whose secrets the user has not saved yet, oldest first: a user can create a key while the first secret is still on
 * its way. Secrets are kept only here, never in a cache, a URL or the browser's storage.
 */
const store = createStore<{ userId: string; key: NewKey }[]>([])

/** The next secret to show. It stays when the session expires. */
export function useNewSecret(): NewKey | undefined {
  return store.use()[0]?.key
}

/** Shows the secret of a key of `userId`, unless somebody else has signed in since the request. */
export function showSecret(userId: string, key: NewKey): void {
  const current = currentSession()?.user.id ?? userId
  if (current === userId) store.set([...store.get(), { userId, key }])
}

/** Forgets this secret only: the same key may have a newer one, if it was rotated in the meantime. */
export function forgetSecret({ keyPrefix }: NewKey): void {
  store.set(store.get().filter((entry) => entry.key.keyPrefix !== keyPrefix))
}

/** Forgets all secrets except those of `userId`, who has just signed in. */
export function keepSecretsOf(userId: string): void {
  store.set(store.get().filter((entry) => entry.userId === userId))
}
