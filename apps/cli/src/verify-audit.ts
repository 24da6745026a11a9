import { type AuditFault, verifyAudit } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'

const MEANING = {
  altered: 'was changed after it was written',
  missing: 'is missing',
  'not counted': 'was added after the end of the log',
  'head altered': 'is not the entry that the account stores as its last',
} as const satisfies Record<AuditFault['fault'], string>

/** @param onProgress receives the number of entries that are verified so far. */
export async function verifyAuditLog(db: Db, onProgress: (entries: number) => void): Promise<CommandResult> {
  const verdict = await verifyAudit(db, { report: onProgress })
  const { accounts, entries, faults } = verdict
  const isOk = faults.length === 0
  const lines = faults.map(({ userId, sequence, fault }) => `Account ${userId}: entry ${sequence} ${MEANING[fault]}.`)
  const result = isOk ? 'every chain is complete' : `${faults.length} broken chains`
  lines.push(`${accounts} accounts, ${entries} entries: ${result}.`)
  return { json: verdict, text: lines.join('\n'), isOk }
}
