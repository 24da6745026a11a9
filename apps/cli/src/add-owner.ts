import { addOwner, changeAsOperator, findAccount, findNewOwner, type OperatorCall } from '@keymeter/api/server'
import type { CommandResult } from './command-result.ts'

/** Makes a user an owner, e.g. of an account whose last owner was deleted in Supabase. */
export async function addOwnerToAccount(call: OperatorCall, account: string, address: string): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const user = await findNewOwner(call.db, address)
  const { result: isAdded, account: after } = await changeAsOperator(
    call,
    'add-owner',
    accountId,
    async (scope) => await addOwner(scope, user),
  )
  const text = isAdded
    ? `${user.email} is an owner of account ${accountId}.`
    : `${user.email} already is an owner. Nothing was changed.`
  return { json: { accountId, memberId: user.id, isAdded, account: after }, text, isOk: true }
}
