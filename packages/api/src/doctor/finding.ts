/** The result of one check of `keymeter doctor`. */
export interface Finding {
  /** What was checked, e.g. `migrations`. */
  name: string
  /** A check is skipped if a setting that it needs is not set. */
  status: 'ok' | 'fault' | 'skipped'
  message: string
  /** The command or the SQL that removes the fault. Null if there is no fault. */
  repair: string | null
}

/** A message that lists many things names only the first ones. */
const LISTED_MAX = 3

export const ok = (name: string, message: string): Finding => ({ name, status: 'ok', message, repair: null })

export const skipped = (name: string, message: string): Finding => ({ name, status: 'skipped', message, repair: null })

export const fault = (name: string, message: string, repair: string): Finding => ({ name, status: 'fault', message, repair })

/** Returns the first of these things, separated by semicolons, and the number of the others. */
export function listed(things: readonly string[]): string {
  const others = things.length - LISTED_MAX
  return things.slice(0, LISTED_MAX).join('; ') + (others > 0 ? `; and ${others} more` : '')
}
