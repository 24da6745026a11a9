import type { NewKey } from '@keymeter/contract'
import { createStore } from '../app/store.ts'

/** The key whose secret is being shown. Nowhere else in the page: not in a cache, a URL or storage. */
const store = createStore<NewKey | null>(null)

export const useNewSecret = store.use
export const showSecret = store.set
export const forgetSecret = () => store.set(null)
