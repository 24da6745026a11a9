import { type AuditFault, verifyAudit } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'

const MEANING: Record<AuditFault['fault'], string> = {
  altered: 'is not what was written',
  missing: 'is missing',
  'not counted': 'was added past the end of the log',
  'head altered': 'is not the one that the account names as its last',
}

/** @returns whether every chain is whole. */
export async function verifyAuditCommand(db: Db, { json = false }: { json?: boolean }): Promise<boolean> {
  const showProgress = process.stderr.isTTY && !json
  const verdict = await verifyAudit(db, {
    report: (entries) => void (showProgress && process.stderr.write(`\r${entries} entries verified`)),
  })
  if (showProgress) process.stderr.write('\n')
  if (json) {
    console.log(JSON.stringify(verdict))
  } else {
    for (const { userId, sequence, fault } of verdict.faults) {
      console.log(`Account ${userId}: entry ${sequence} ${MEANING[fault]}.`)
    }
    const result = verdict.faults.length === 0 ? 'every chain is whole' : `${verdict.faults.length} broken`
    console.log(`${verdict.accounts} accounts, ${verdict.entries} entries: ${result}.`)
  }
  return verdict.faults.length === 0
}
