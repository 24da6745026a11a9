import { type CallError, describeCallError } from '../call/call-error.ts'
import { api, queryClient } from '../call/trpc.ts'
import { createStore } from '../ui/store.ts'
import { noteAccounts } from './current-account.ts'
import { showSecret } from './new-secret.ts'

type Provisioning = { state: 'running' | 'done' } | { state: 'failed'; error: CallError }

/**
 * This state is stored outside React. React can run an effect twice, but `auth.provision` must be called only once, because the
 * server returns the secret only once.
 */
const store = createStore<{ userId: string | null; provisioning: Provisioning }>({
  userId: null,
  provisioning: { state: 'running' },
})

/** Until the state is `done`, the account perhaps does not exist yet. */
export function useProvisioning(): Provisioning {
  return store.use().provisioning
}

/** Provisions the account once for each session and each load of the page. */
export function provisionOnce(userId: string): void {
  if (store.get().userId !== userId) void provision(userId)
}

export async function provision(userId: string): Promise<void> {
  store.set({ userId, provisioning: { state: 'running' } })
  try {
    const { accounts, defaultKey } = await api.auth.provision.mutate()
    // The server creates a default key only in the account with the id of the user.
    if (defaultKey !== null) showSecret(userId, userId, defaultKey)
    if (store.get().userId !== userId) return
    noteAccounts(userId, accounts)
    store.set({ userId, provisioning: { state: 'done' } })
    await queryClient.invalidateQueries()
  } catch (error) {
    if (store.get().userId !== userId) return
    store.set({ userId, provisioning: { state: 'failed', error: describeCallError(error) } })
  }
}

/** Must be called when the user signs out. The next session is then provisioned again. */
export function forgetProvisioning(): void {
  store.set({ userId: null, provisioning: { state: 'running' } })
}
