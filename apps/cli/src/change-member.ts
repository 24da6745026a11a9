import { changeAsOperator, changeRoleOfMember, findAccount, type OperatorCall } from '@keymeter/api/server'
import type { MemberRole } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'

/** Changes the role of a member. @param member is the id or the e-mail address of the user. */
export async function setRoleOfMember(
  call: OperatorCall,
  account: string,
  member: string,
  role: MemberRole,
): Promise<CommandResult> {
  return await change(call, 'set-role', account, member, role)
}

/** Ends the access of a member, e.g. because the login of the member was stolen. The keys of the member stay. */
export async function removeMember(call: OperatorCall, account: string, member: string): Promise<CommandResult> {
  return await change(call, 'remove-member', account, member, null)
}

async function change(
  call: OperatorCall,
  command: string,
  account: string,
  member: string,
  role: MemberRole | null,
): Promise<CommandResult> {
  const accountId = await findAccount(call.db, account)
  const { result, account: after } = await changeAsOperator(
    call,
    command,
    accountId,
    async (scope) => await changeRoleOfMember(scope, member, role),
  )
  const { id: memberId, email, roleBefore, isChanged } = result
  const name = email ?? memberId
  const text =
    role === null
      ? `${name} is no longer a member of account ${accountId}. The keys of this member keep working: "keymeter revoke-key" revokes a key.`
      : isChanged
        ? `${name} is now ${role} of account ${accountId}, and was ${roleBefore}.`
        : `${name} already is ${role} of account ${accountId}. Nothing was changed.`
  return { json: { accountId, memberId, role, roleBefore, isChanged, account: after }, text, isOk: true }
}
