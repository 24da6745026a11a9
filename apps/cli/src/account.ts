import { randomUUID } from 'node:crypto'
import {
  changeAsOperator,
  changePlan,
  findAccount,
  getAccount,
  grantTopUp,
  type OperatorCall,
  readAsOperator,
  resumeAccount,
  suspendAccount,
  takeBackTopUp,
} from '@keymeter/api/server'
import { type BillingAccount, ChangePlan, GrantTopUp, TakeBackTopUp } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { countCredits } from './count-credits.ts'

/** @param account is the id of the account or the e-mail address of a member. All commands of this file accept both. */
export async function showAccount(call: OperatorCall, account: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const now = await readAsOperator(call, 'account', async (_, scopeOf) => ({
    result: await getAccount(scopeOf(accountId)),
    account: accountId,
    search: null,
  }))
  if (now === null) {
    const text = `${accountId}\nThe user has signed up, but has no account yet. The first visit of the dashboard creates it, or a top-up.`
    return { json: { accountId, account: null }, text, isOk: true }
  }
  const suspended = now.suspendedAt === null ? '' : `, suspended since ${now.suspendedAt}`
  const closed = now.closedAt === null ? '' : `, deleted since ${now.closedAt}`
  return describe(now, { accountId }, `${accountId}${suspended}${closed}`)
}

/**
 * @param onIdempotencyKey receives a new idempotency key before the top-up is added. If the command is interrupted, the operator
 *   can retry the top-up with the same idempotency key.
 */
export async function topUp(
  call: OperatorCall,
  account: string,
  credits: number,
  { idempotencyKey: given, note }: { idempotencyKey?: string; note?: string },
  onIdempotencyKey: (idempotencyKey: string) => void,
): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const idempotencyKey = given ?? randomUUID()
  const { accountId: _, ...grant } = GrantTopUp.parse({ accountId, credits, idempotencyKey, note })
  if (given === undefined) onIdempotencyKey(idempotencyKey)
  const { result, account: after } = await changeAsOperator(
    call,
    'top-up',
    accountId,
    async (scope) => await grantTopUp(scope, grant),
  )
  const sentence = result.replayed
    ? `The idempotency key ${idempotencyKey} has already granted ${countCredits(grant.credits)}. Nothing was added.`
    : `Granted ${countCredits(grant.credits)}.`
  return describe(after, { accountId, idempotencyKey, replayed: result.replayed }, sentence)
}

/** @param onIdempotencyKey receives a new idempotency key before the top-up is taken back, like that of `topUp`. */
export async function takeBack(
  call: OperatorCall,
  account: string,
  topUpIdempotencyKey: string,
  { idempotencyKey: given, credits, note }: { idempotencyKey?: string; credits?: number; note?: string },
  onIdempotencyKey: (idempotencyKey: string) => void,
): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const idempotencyKey = given ?? randomUUID()
  const { accountId: _, ...request } = TakeBackTopUp.parse({ accountId, topUpIdempotencyKey, credits, idempotencyKey, note })
  if (given === undefined) onIdempotencyKey(idempotencyKey)
  const { result, account: after } = await changeAsOperator(
    call,
    'take-back',
    accountId,
    async (scope) => await takeBackTopUp(scope, request),
  )
  const { creditsTakenBack, creditsSpent, replayed } = result
  const taken = replayed
    ? `The idempotency key ${idempotencyKey} has already taken back ${countCredits(creditsTakenBack)}. Nothing more was taken back.`
    : `Took back ${countCredits(creditsTakenBack)}.`
  const spent =
    creditsSpent === 0 ? '' : ` ${countCredits(creditsSpent)} ${creditsSpent === 1 ? 'was' : 'were'} already spent or held.`
  return describe(after, { accountId, idempotencyKey, creditsTakenBack, creditsSpent, replayed }, `${taken}${spent}`)
}

export async function putOnPlan(call: OperatorCall, account: string, planName: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const { plan } = ChangePlan.parse({ accountId, plan: planName })
  const { result, account: after } = await changeAsOperator(
    call,
    'change-plan',
    accountId,
    async (scope) => await changePlan(scope, plan),
  )
  const effectiveAt = result.toISOString()
  const sentence = after.plan === plan ? `The account is on ${plan}.` : `The account changes to ${plan} at ${effectiveAt}.`
  return describe(after, { accountId, effectiveAt }, sentence)
}

export async function suspend(call: OperatorCall, account: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const { account: after } = await changeAsOperator(call, 'suspend', accountId, suspendAccount)
  return describe(after, { accountId }, `Suspended since ${after.suspendedAt}. Charges and holds are refused.`)
}

export async function resume(call: OperatorCall, account: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const { account: after } = await changeAsOperator(call, 'resume', accountId, resumeAccount)
  return describe(after, { accountId }, 'Resumed.')
}

function describe(account: BillingAccount, more: object, sentence: string): CommandResult {
  const balance = `${countCredits(account.creditsRemaining)} left until ${account.billingCycle.end}, on ${account.plan}.`
  return { json: { ...more, account }, text: `${sentence}\n${balance}`, isOk: true }
}
