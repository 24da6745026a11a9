import { reconcile } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'

/** @returns whether everything that is kept is what the events say. */
export async function reconcileCommand(db: Db, { json = false }: { json?: boolean }): Promise<boolean> {
  const showProgress = process.stderr.isTTY && !json
  const differences = await reconcile(db, (what) => void (showProgress && process.stderr.write(`${what} …\n`)))
  if (json) {
    console.log(JSON.stringify({ differences }))
  } else {
    for (const { userId, what, subject, kept, counted } of differences)
      console.log(`Account ${userId}: ${what}, ${subject}: ${kept} is kept, the events say ${counted}.`)
    console.log(differences.length === 0 ? 'Everything agrees.' : `${differences.length} differences.`)
  }
  return differences.length === 0
}
