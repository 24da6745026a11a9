/** The user id of the person who has opened a link for a new password. It is in the storage of the tab, so a reload keeps it. */
const STORAGE_KEY = 'keymeter-recovery'

/**
 * Remembers that this person may set a new password without the present one. The page of the settings asks for the present
 * password, so that somebody at an unlocked computer cannot take the account over.
 */
export function rememberRecovery(userId: string): void {
  sessionStorage.setItem(STORAGE_KEY, userId)
}

/** Returns the id of the person who has opened the link in this tab and has not set the password yet, or null. */
export function recoveringUserId(): string | null {
  return sessionStorage.getItem(STORAGE_KEY)
}

export function forgetRecovery(): void {
  sessionStorage.removeItem(STORAGE_KEY)
}
