import type { NewKey } from '@keymeter/contract'
import { createStore } from '../app/store.ts'

/**
 * The keys whose secrets are still to be saved, in the order that they came: a key may be created while the first one is
 * on its way. Nowhere else in the page: not in a cache, a URL or storage.
 */
const store = createStore<NewKey[]>([])

export const useNewSecrets = store.use
export const showSecret = (key: NewKey) => store.set([...store.get(), key])
export const forgetSecret = (key: NewKey) => store.set(store.get().filter(({ id }) => id !== key.id))
export const forgetAllSecrets = () => store.set([])
