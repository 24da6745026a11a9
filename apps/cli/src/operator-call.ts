import { randomUUID } from 'node:crypto'
import { userInfo } from 'node:os'
import { AccountQueue, type OperatorCall } from '@keymeter/api/server'
import { cutSecrets } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { pino } from 'pino'

/**
 * Returns the call of one command: its database, and its origin for the audit log and the operator's log. Each command has one
 * request id.
 *
 * @param keyBrand is the brand of this deployment.
 */
export function operatorCall(db: Db, keyBrand: string): OperatorCall {
  return {
    db,
    log: pino({ level: 'silent' }),
    accountCalls: new AccountQueue(1),
    keyBrand,
    requestId: randomUUID(),
    clientAddress: null,
    userAgent: 'keymeter',
    osUser: cutSecrets(osUser()).slice(0, 64),
  }
}

function osUser(): string {
  try {
    return userInfo().username
  } catch {
    // In a container, the user often has a number but no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
