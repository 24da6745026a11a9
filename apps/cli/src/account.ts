import { randomUUID } from 'node:crypto'
import { AppError, changePlan, grantTopUp, operate, resumeAccount, type Scope, suspendAccount } from '@keymeter/api/server'
import { type BillingAccount, ChangePlan, GrantTopUp } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import { sql } from 'kysely'
import { pino } from 'pino'

interface Output {
  json?: boolean
}

/** @param account its id, or its user's e-mail address. */
export async function topUpCommand(
  db: Db,
  account: string,
  credits: string,
  { json, idempotencyKey = randomUUID(), note }: Output & { idempotencyKey?: string; note?: string },
): Promise<boolean> {
  const accountId = await findAccount(db, account)
  const { accountId: _, ...grant } = GrantTopUp.parse({ accountId, credits: Number(credits), idempotencyKey, note })
  const { result, account: after } = await onAccount(db, accountId, async (scope) => await grantTopUp(scope, grant))
  show(json, after, { accountId, idempotencyKey, replayed: result.replayed }, () =>
    result.replayed
      ? `${idempotencyKey} has granted ${grant.credits} credits before: nothing was added.`
      : `Granted ${grant.credits} credits. Should you have to try again, send --idempotency-key ${idempotencyKey}.`,
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
  const call = { db, log: pino({ level: 'silent' }), keyBrand: '', clientAddress: null, userAgent: 'pnpm keymeter' }
  return await operate({ ...call, requestId: randomUUID() }, accountId, operation)
}

async function findAccount(db: Db, account: string): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    select id from auth.users where id::text = lower(${account}) or lower(email) = lower(${account})`.execute(db)
  if (rows[0] === undefined || rows.length > 1)
    throw new AppError('account_not_found', { message: `There is no account ${account}.` })
  return rows[0].id
}

function show(json: boolean | undefined, account: BillingAccount, more: object, sentence: () => string): void {
  if (json) {
    console.log(JSON.stringify({ ...more, account }))
    return
  }
  console.log(sentence())
  console.log(`${account.creditsRemaining} credits left until ${account.billingCycle.end}, on ${account.plan}.`)
}
