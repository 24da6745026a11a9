import { randomUUID } from 'node:crypto'
import {
  changePlan,
  findAccount,
  getAccount,
  grantTopUp,
  inAccount,
  operate,
  resumeAccount,
  type Scope,
  suspendAccount,
} from '@keymeter/api/server'
import { type BillingAccount, ChangePlan, GrantTopUp } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { pino } from 'pino'

interface Output {
  json?: boolean
}

/** @param account its id, or its user's e-mail address; so with all of these commands. */
export async function showAccountCommand(db: Db, account: string, { json }: Output): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const now = await inAccount({ ...callOf(db), userId: accountId }, 'read only', getAccount)
  if (now === null) throw new Error(`The account ${account} was deleted while it was read.`)
  show(json, now, { accountId }, () => `${accountId}${now.suspendedAt === null ? '' : `, suspended since ${now.suspendedAt}`}`)
  return true
}

export async function topUpCommand(
  db: Db,
  account: string,
  credits: number,
  { json, idempotencyKey = randomUUID(), note }: Output & { idempotencyKey?: string; note?: string },
): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const { accountId: _, ...grant } = GrantTopUp.parse({ accountId, credits, idempotencyKey, note })
  // Before the call, because its answer may be lost.
  console.error(`To retry safely, pass --idempotency-key ${idempotencyKey}`)
  const { result, account: after } = await onAccount(db, accountId, async (scope) => await grantTopUp(scope, grant))
  show(json, after, { accountId, idempotencyKey, replayed: result.replayed }, () =>
    result.replayed
      ? `${idempotencyKey} has granted ${grant.credits} credits before: nothing was added.`
      : `Granted ${grant.credits} credits.`,
  )
  return true
}

export async function changePlanCommand(db: Db, account: string, plan: string, { json }: Output): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const wanted = ChangePlan.parse({ accountId, plan })
  const { result, account: after } = await onAccount(db, accountId, async (scope) => await changePlan(scope, wanted.plan))
  show(json, after, { accountId, effectiveAt: result.toISOString() }, () => `On ${plan} from ${result.toISOString()}.`)
  return true
}

export async function suspendCommand(db: Db, account: string, { json }: Output): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const { account: after } = await onAccount(db, accountId, suspendAccount)
  show(json, after, { accountId }, () => `Suspended since ${after.suspendedAt}: nothing is charged.`)
  return true
}

export async function resumeCommand(db: Db, account: string, { json }: Output): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const { account: after } = await onAccount(db, accountId, resumeAccount)
  show(json, after, { accountId }, () => 'Resumed.')
  return true
}

async function onAccount<T>(db: Db, accountId: string, operation: (scope: Scope) => Promise<T>) {
  return await operate(callOf(db), accountId, operation)
}

function callOf(db: Db) {
  const log = pino({ level: 'silent' })
  return { db, log, keyBrand: '', requestId: randomUUID(), clientAddress: null, userAgent: 'pnpm keymeter' }
}

function show(json: boolean | undefined, account: BillingAccount, more: object, sentence: () => string): void {
  if (json) {
    console.log(JSON.stringify({ ...more, account }))
    return
  }
  console.log(sentence())
  console.log(`${account.creditsRemaining} credits left until ${account.billingCycle.end}, on ${account.plan}.`)
}
