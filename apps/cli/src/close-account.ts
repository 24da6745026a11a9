import { closeLockedAccount, findAccount, getAccount, type OperatorCall, operate, readAsOperator } from '@keymeter/api/server'
import type { CommandResult } from './command-result.ts'
import { countCredits } from './count-credits.ts'
import { type Confirm, isConfirmed, UNCHANGED } from './is-confirmed.ts'

/** Deletes an account for its customers, in the name of the operator, e.g. because its owner asked for it by e-mail. */
export async function closeAccountOfCustomer(
  call: OperatorCall,
  account: string,
  { yes }: { yes?: true },
  confirm: Confirm,
): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const state = await readAsOperator(call, 'close-account', async (_, scopeOf) => ({
    result: await getAccount(scopeOf(accountId)),
    account: accountId,
    search: null,
  }))
  if (state === null) throw new Error('The user has signed up, but has no account. Delete the user in Supabase.')
  if (state.closedAt !== null)
    return {
      json: { accountId, isClosed: false, account: state },
      text: `The account was already deleted at ${state.closedAt}.`,
      isOk: true,
    }
  const question = `Account ${accountId} has ${countCredits(state.creditsRemaining)} left. All its keys stop working, and its members lose access. This cannot be undone. Delete it?`
  if (!(await isConfirmed(question, yes, confirm)))
    return { json: { accountId, isClosed: false, account: state }, text: UNCHANGED, isOk: false }
  const { account: after } = await operate(call, accountId, closeLockedAccount)
  const text = `Deleted account ${accountId}. Its data stays until you erase it: keymeter erase-account ${accountId}`
  return { json: { accountId, isClosed: true, account: after }, text, isOk: true }
}
