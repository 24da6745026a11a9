import type { NewKey } from '@keymeter/contract'
import { currentSession } from '../call/session.ts'
import { createStore } from '../ui/store.ts'

/**
 * The keys whose secrets the user has not saved yet, oldest first. There can be several keys, because a user can create a key
 * before the response with the first secret has arrived. Secrets are kept only here, never in a cache, a URL or the browser's
 * storage.
 */
const store = createStore<{ userId: string; key: NewKey }[]>([])

/** Returns the key whose secret is shown next. If the session expires, the secret stays visible. */
export function useNewSecret(): NewKey | undefined {
  return store.use()[0]?.key
}

/** Returns true while the page shows a new secret of this key, or will show one after the secrets before it. */
export function useIsSecretShown(keyId: string): boolean {
  return store.use().some(({ key }) => key.id === keyId)
}

/**
 * Shows the secret of a key. `userId` is the user who requested the secret. Does nothing if another user has signed in since
 * then.
 */
export function showSecret(userId: string, key: NewKey): void {
  const current = currentSession()?.user.id ?? userId
  if (current === userId) store.set([...store.get(), { userId, key }])
}

/** Forgets this secret. If the key was rotated again, the newer secret of the key is kept. */
export function forgetSecret({ keyPrefix }: NewKey): void {
  store.set(store.get().filter((entry) => entry.key.keyPrefix !== keyPrefix))
}

/** Forgets the secrets of all other users, after `userId` has signed in. */
export function keepSecretsOf(userId: string): void {
  store.set(store.get().filter((entry) => entry.userId === userId))
}
