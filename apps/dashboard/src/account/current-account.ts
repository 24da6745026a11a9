import { type Access, accessOf, type MemberAccount, type MemberCall, MemberRole } from '@keymeter/contract'
import { z } from 'zod'
import { currentSession } from '../call/session.ts'
import { createStore } from '../ui/store.ts'

/**
 * The key under which the browser remembers the account that each tab shows (session storage), and the account that a new tab shows
 * (local storage).
 */
const STORAGE_KEY = 'keymeter-account'

const Remembered = z.object({ userId: z.guid(), id: z.guid(), role: MemberRole })

interface State {
  userId: string | null
  /** The account on which this tab acts. Null if the person is a member of no account. */
  current: { id: string; role: MemberRole } | null
  /** The accounts of the person. Null means that they are not known yet. */
  accounts: MemberAccount[] | null
}

const store = createStore(stateOf(currentSession()?.user.id ?? null))
const listeners = new Set<() => void>()

/**
 * Returns the state at the start of a session. Until the accounts are known, the page shows the account that the browser remembers, or
 * the account that the person opens by signing up. The server checks the membership in each call, so a wrong guess shows nothing.
 */
function stateOf(userId: string | null): State {
  if (userId === null) return { userId, current: null, accounts: null }
  const remembered = recall(sessionStorage, userId) ?? recall(localStorage, userId)
  return { userId, current: remembered ?? { id: userId, role: 'owner' }, accounts: null }
}

/** Returns the id of the account on which calls act now. Null means that nobody is signed in, or that there is no account. */
export function currentAccountId(): string | null {
  return store.get().current?.id ?? null
}

export function useCurrentAccountId(): string | null {
  return store.use().current?.id ?? null
}

/** Returns the accounts of the person, or null if they are not known yet. */
export function useAccounts(): MemberAccount[] | null {
  return store.use().accounts
}

/** Returns the accounts of the person, outside of components. */
export function knownAccounts(): MemberAccount[] | null {
  return store.get().accounts
}

/** Returns the account on which this tab acts. Undefined if the accounts are not known yet, or if there is none. */
export function useCurrentAccount(): MemberAccount | undefined {
  const { accounts, current } = store.use()
  return accounts?.find(({ id }) => id === current?.id)
}

/** True while the account is only a guess, because the accounts are not known yet. */
export function isAccountGuessed(): boolean {
  return store.get().accounts === null
}

/** Returns whether the role of the person may make this call. Pages show no button for a call that the server would refuse. */
export function useAccess(call: MemberCall): Access[MemberRole] {
  const role = useRole()
  return role === null ? 'no' : accessOf(call, role)
}

/** Returns true if the person may make this call. */
export function useMay(call: MemberCall): boolean {
  return useAccess(call) !== 'no'
}

export function useRole(): MemberRole | null {
  return store.use().current?.role ?? null
}

/** Calls `listener` before another account is shown, so that it can forget the data of the previous one. */
export function onAccountChange(listener: () => void): void {
  listeners.add(listener)
}

/** Must be called when another user signs in, and with null when the user signs out. */
export function enterUser(userId: string | null): void {
  if (store.get().userId !== userId) store.set(stateOf(userId))
}

/** What has become of the account that was shown, after the accounts were read again. */
export type AccountsChange = 'same' | 'other role' | 'lost'

/**
 * Notes the accounts of the person. If the person is no longer a member of the account that this tab shows, the tab shows the first
 * other account.
 */
export function noteAccounts(userId: string, accounts: MemberAccount[]): AccountsChange {
  const { current, userId: known, accounts: earlier } = store.get()
  if (known !== userId) return 'same'
  const still = accounts.find(({ id }) => id === current?.id)
  if (still !== undefined) {
    const isSame = still.role === current?.role
    store.set({ userId, accounts, current: { id: still.id, role: still.role } })
    rememberInTab()
    return isSame ? 'same' : 'other role'
  }
  const [first] = accounts
  show({ userId, accounts, current: first === undefined ? null : { id: first.id, role: first.role } })
  return earlier === null || current === null ? 'same' : 'lost'
}

/** Shows another account of the person in this tab, and in new tabs. */
export function chooseAccount(id: string): void {
  const { userId, accounts, current } = store.get()
  const chosen = accounts?.find((account) => account.id === id)
  if (chosen === undefined || chosen.id === current?.id) return
  show({ userId, accounts, current: { id, role: chosen.role } })
  remember(localStorage)
}

function show(next: State): void {
  // The listeners come first: no component may see the data of the previous account together with the id of the next one.
  if (next.current?.id !== store.get().current?.id) for (const listener of listeners) listener()
  store.set(next)
  rememberInTab()
}

/**
 * Remembers the account of this tab. A new tab shows the account that the person chose last, in any tab. If the person has chosen no
 * account, or is no longer a member of the chosen account, a new tab shows the account of this tab.
 */
function rememberInTab(): void {
  const { userId, current, accounts } = store.get()
  if (userId === null) return
  remember(sessionStorage)
  const chosenId = recall(localStorage, userId)?.id
  if (chosenId === current?.id || !accounts?.some(({ id }) => id === chosenId)) remember(localStorage)
}

function remember(storage: Storage): void {
  const { userId, current } = store.get()
  if (userId === null || current === null) return
  const text = JSON.stringify({ userId, ...current } satisfies z.infer<typeof Remembered>)
  // Storage can be full or forbidden. Then the next load of the page shows the first account.
  try {
    storage.setItem(STORAGE_KEY, text)
  } catch {}
}

function recall(storage: Storage, userId: string): State['current'] {
  try {
    const remembered = Remembered.parse(JSON.parse(storage.getItem(STORAGE_KEY) ?? ''))
    return remembered.userId === userId ? { id: remembered.id, role: remembered.role } : null
  } catch {
    return null
  }
}
