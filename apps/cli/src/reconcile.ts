import { reconcile } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'

/** Returns whether everything agrees. */
export async function reconcileCommand(db: Db, { json = false }: { json?: boolean }): Promise<boolean> {
  const showsProgress = process.stderr.isTTY && !json
  const differences = await reconcile(db, { onCheck: (what) => void (showsProgress && process.stderr.write(`${what} …\n`)) })
  if (json) {
    console.log(JSON.stringify({ differences }))
  } else {
    for (const { userId, what, subject, stored, expected } of differences)
      console.log(`Account ${userId}: ${what}, ${subject}: ${stored} is stored, ${expected} is expected.`)
    console.log(differences.length === 0 ? 'Everything agrees.' : `${differences.length} differences.`)
  }
  return differences.length === 0
}
