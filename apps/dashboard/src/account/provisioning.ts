import { type CallError, describeCallError } from '../call/call-error.ts'
import { api, queryClient } from '../call/trpc.ts'
import { createStore } from '../ui/store.ts'
import { showSecret } from './new-secret.ts'

type Provisioning = { state: 'running' | 'done' } | { state: 'failed'; error: CallError }

/** The account of the current session, by user. Outside React: an effect may run twice, the secret is told once. */
const store = createStore<{ userId: string | null; provisioning: Provisioning }>({
  userId: null,
  provisioning: { state: 'running' },
})

/** How far the account is; until it is `done`, there may be nothing to show. */
export function useProvisioning(): Provisioning {
  return store.use().provisioning
}

/** Makes sure, once after each first load of a session, that the account has been provisioned. */
export function provisionOnce(userId: string): void {
  if (store.get().userId !== userId) void provision(userId)
}

export async function provision(userId: string): Promise<void> {
  store.set({ userId, provisioning: { state: 'running' } })
  try {
    const { defaultKey } = await api.auth.provision.mutate()
    if (defaultKey !== null) showSecret(userId, defaultKey)
    if (store.get().userId !== userId) return
    store.set({ userId, provisioning: { state: 'done' } })
    await queryClient.invalidateQueries()
  } catch (error) {
    if (store.get().userId !== userId) return
    store.set({ userId, provisioning: { state: 'failed', error: describeCallError(error) } })
  }
}

/** Forgets whom it was for, when nobody is signed in any more. */
export function forgetProvisioning(): void {
  store.set({ userId: null, provisioning: { state: 'running' } })
}
