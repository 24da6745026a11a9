import { randomUUID } from 'node:crypto'
import type { MemberRole } from '@keymeter/contract'
import { withClient } from '@keymeter/local'
import { describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned, signedIn } from '../../test/caller.ts'
import { actingOn, type memberOf, team } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { createLimits, NO_LIMITS } from '../limits/limits.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'

const database = reconciledDatabase()
const { owner: superuser } = database

const emailOf = (userId: string) => `${userId}@example.com`
const tokenOf = (link: string) => link.slice(link.indexOf('#') + 1)

describe('an invitation of a member who loses the right to invite', () => {
  /** Invites a second user of the same person, as somebody who wants to come back. */
  async function inviteSelf(caller: Awaited<ReturnType<typeof memberOf>>['caller'], role: MemberRole) {
    const userId = await database.createUser()
    const { link, invitation } = await caller.members.invite({ email: emailOf(userId), role })
    const person = await signedIn(database, userId)
    const accept = async () => await person.members.acceptInvitation({ token: tokenOf(link) })
    const read = async () => (await person.members.readInvitation({ token: tokenOf(link) })).state
    return { accept, read, invitation }
  }
  const revoked = { code: 'CONFLICT', reason: 'invitation_revoked' }

  it.each([
    ['a removed admin', 'admin', 'viewer', null],
    ['an admin who is now a developer', 'admin', 'admin', 'developer'],
    ['an admin who is now a viewer', 'admin', 'viewer', 'viewer'],
    ['a removed owner', 'owner', 'owner', null],
    ['an owner who is now an admin', 'owner', 'owner', 'admin'],
  ] as const)('of %s is revoked, is no longer listed, and the audit log says so', async (_, before, invitedAs, after) => {
    const { accountId, owner, member } = await team(database, before)
    const { accept, read, invitation } = await inviteSelf(member.caller, invitedAs)
    const { memberId } = member
    await (after === null ? owner.members.remove({ memberId }) : owner.members.setRole({ memberId, role: after }))
    expect(await read()).toBe('revoked')
    await expect(accept()).rejects.toMatchObject(revoked)
    expect((await owner.members.invitations()).data).toEqual([])
    const { data } = await owner.audit.list({ action: 'member.invitation_revoked', limit: 5 })
    expect(data).toMatchObject([{ member: { id: accountId }, detail: { email: invitation.email, role: invitedAs } }])
    expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  })

  it('to the address of a member ends when the member is removed', async () => {
    const { accountId, owner } = await team(database, 'admin')
    const other = await owner.members.invite({ email: `${randomUUID()}@example.com`, role: 'viewer' })
    const memberId = await database.createUser()
    const { link } = await owner.members.invite({ email: emailOf(memberId).toUpperCase(), role: 'admin' })
    // The person has joined by an invitation to another address, and changed the address since.
    await superuser.query("insert into account_members (user_id, member_id, role, email) values ($1, $2, 'viewer', $3)", [
      accountId,
      memberId,
      emailOf(memberId),
    ])
    await owner.members.remove({ memberId })
    const person = await signedIn(database, memberId)
    await expect(person.members.acceptInvitation({ token: tokenOf(link) })).rejects.toMatchObject(revoked)
    expect((await owner.members.invitations()).data).toEqual([other.invitation])
  })

  it('stays open if the member can still invite with this role', async () => {
    const { owner, member } = await team(database, 'owner')
    const { accept } = await inviteSelf(member.caller, 'admin')
    await owner.members.setRole({ memberId: member.memberId, role: 'admin' })
    expect((await accept()).account.role).toBe('admin')
  })

  it('does not work after the user of the member was deleted in Supabase', async () => {
    const { owner, member } = await team(database, 'admin')
    const { accept, read } = await inviteSelf(member.caller, 'admin')
    await superuser.query('delete from auth.users where id = $1', [member.memberId])
    expect(await read()).toBe('revoked')
    await expect(accept()).rejects.toMatchObject(revoked)
    expect((await owner.members.list()).data).toHaveLength(2)
  })
})
