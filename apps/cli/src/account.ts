import { randomUUID } from 'node:crypto'
import {
  type AccountAndMembers,
  changeAsOperator,
  changePlan,
  findAccount,
  getAccountAndMembers,
  grantTopUp,
  type OperatorCall,
  readAsOperator,
  resumeAccount,
  suspendAccount,
  takeBackTopUp,
} from '@keymeter/api/server'
import { type BillingAccount, ChangePlan, GrantTopUp, type Invitation, type Member, TakeBackTopUp } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { countCredits } from './count-credits.ts'
import { type Column, formatTable } from './format-table.ts'

const MEMBERS: Column<Member>[] = [
  { title: 'MEMBER', value: ({ email }) => email, widthMax: 40 },
  { title: 'USER ID', value: ({ id }) => id },
  { title: 'ROLE', value: ({ role }) => role },
  { title: 'SINCE', value: ({ createdAt }) => createdAt },
  { title: 'LIVE KEYS', value: ({ liveKeys }) => liveKeys },
]

const INVITATIONS: Column<Invitation>[] = [
  { title: 'INVITED', value: ({ email }) => email, widthMax: 40 },
  { title: 'ROLE', value: ({ role }) => role },
  { title: 'BY', value: ({ invitedBy }) => invitedBy?.email ?? null, widthMax: 40 },
  { title: 'ENDS', value: ({ expiresAt, isExpired }) => `${expiresAt}${isExpired ? ' (ended)' : ''}` },
]

/** @param account is the id of the account or the e-mail address of a member. All commands of this file accept both. */
export async function showAccount(call: OperatorCall, account: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const now = await readAsOperator(call, 'account', async (_, scopeOf) => ({
    result: await getAccountAndMembers(scopeOf(accountId)),
    account: accountId,
    search: null,
  }))
  if (now === null) {
    const text = `${accountId}\nThe user has signed up, but has no account yet. A top-up opens one, or the user does so on the dashboard.`
    return { json: { accountId, account: null }, text, isOk: true }
  }
  const { account: found, name, members, invitations } = now
  const named = name === null ? '' : ` "${name}"`
  const suspended = found.suspendedAt === null ? '' : `, suspended since ${found.suspendedAt}`
  const closed = found.closedAt === null ? '' : `, deleted since ${found.closedAt}`
  const { json, text } = describe(found, { accountId, name, members, invitations }, `${accountId}${named}${suspended}${closed}`)
  return { json, text: [text, ...describeMembers(now)].join('\n\n'), isOk: true }
}

function describeMembers({ account, members, invitations }: AccountAndMembers): string[] {
  const table = members.length > 0 ? formatTable(MEMBERS, members) : 'The account has no members.'
  const isWithoutOwner = account.closedAt === null && members.every(({ role }) => role !== 'owner')
  return [
    table,
    ...(isWithoutOwner ? ['The account has no owner. Make a user the owner: keymeter add-owner <account> <address>'] : []),
    ...(invitations.length > 0 ? [formatTable(INVITATIONS, invitations)] : []),
  ]
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
