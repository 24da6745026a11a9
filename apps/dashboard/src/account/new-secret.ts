import type { NewKey } from '@keymeter/contract'
import { currentSession } from '../call/session.ts'
import { createStore } from '../ui/store.ts'

/** A key whose secret the user has not saved yet, and the account of the key. */
export interface ShownSecret {
  userId: string
  accountId: string
  key: NewKey
}

/**
 * The secrets that the user has not saved yet, oldest first. There can be several, because a user can create a key
 * before the response with the first secret has arrived. Secrets are kept only here, never in a cache, a URL or the browser's
 * storage. A secret stays when the user looks at another account, because the server does not return it again.
 */
const store = createStore<ShownSecret[]>([])

/** Returns the secret that is shown next. If the session expires, the secret stays visible. */
export function useNewSecret(): ShownSecret | undefined {
  return store.use()[0]
}

/** Returns true while the page shows a new secret of this key, or will show one after the secrets before it. */
export function useIsSecretShown(keyId: string): boolean {
  return store.use().some(({ key }) => key.id === keyId)
}

/**
 * Shows the secret of a key of an account. `userId` is the user who requested the secret. Does nothing if another user has signed in
 * since then.
 */
export function showSecret(userId: string, accountId: string, key: NewKey): void {
  const current = currentSession()?.user.id ?? userId
  if (current === userId) store.set([...store.get(), { userId, accountId, key }])
}

/** Forgets this secret. If the key was rotated again, the newer secret of the key is kept. */
export function forgetSecret({ keyPrefix }: NewKey): void {
  store.set(store.get().filter((entry) => entry.key.keyPrefix !== keyPrefix))
}

/** Forgets the secrets of all other users, after `userId` has signed in. */
export function keepSecretsOf(userId: string): void {
  store.set(store.get().filter((entry) => entry.userId === userId))
}
