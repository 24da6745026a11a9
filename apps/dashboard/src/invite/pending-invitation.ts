import { z } from 'zod'
import { createStore } from '../ui/store.ts'

/** The key in the storage of this tab. It survives the sign-in at another site, and other tabs do not see it. */
const STORAGE_KEY = 'keymeter-invitation'
const TEXT_LENGTH_MAX = 200

const PendingInvitation = z.object({
  /** The token, as it was in the link. The link can be incomplete. */
  token: z.string().max(TEXT_LENGTH_MAX),
  /** The invited address. Null until the server has shown the invitation. */
  email: z.string().nullable(),
  /** True after the person has chosen to sign in or to sign up in order to accept. */
  isWanted: z.boolean(),
})
type PendingInvitation = z.infer<typeof PendingInvitation>

const store = createStore<PendingInvitation | null>(recall())
takeTokenFromUrl()
// The link can be opened in the tab that already shows this page. Then only the fragment changes.
window.addEventListener('hashchange', takeTokenFromUrl)

/** The invitation that the person has opened in this tab, and has neither accepted nor declined. */
export const usePendingInvitation = store.use
export const pendingInvitation = store.get

/** Changes the pending invitation, or forgets it. */
export function setPendingInvitation(pending: PendingInvitation | null): void {
  store.set(pending)
  try {
    if (pending === null) sessionStorage.removeItem(STORAGE_KEY)
    else sessionStorage.setItem(STORAGE_KEY, JSON.stringify(pending))
  } catch {
    // Without storage, the invitation is forgotten when the tab loads another page.
  }
}

/** Moves the token out of the URL, so that it is neither in the history of the browser nor on a screenshot. */
function takeTokenFromUrl(): void {
  const token = location.hash.slice(1, 1 + TEXT_LENGTH_MAX)
  if (location.pathname !== '/invite' || token === '') return
  history.replaceState(history.state, '', location.pathname)
  setPendingInvitation({ token, email: null, isWanted: false })
}

function recall(): PendingInvitation | null {
  try {
    return PendingInvitation.parse(JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? ''))
  } catch {
    return null
  }
}
