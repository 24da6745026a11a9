import { type MemberRole, mayRemove, MemberRole as Roles, rolesToGive } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import { describe, expect, it } from 'vitest'
import { accessToken, contextOf, provisioned } from '../../test/caller.ts'
import { appRouter } from '../router.ts'

const database = testDatabase()

/** Creates an account with a member of the role `caller`, and another member of the role `target`. */
async function accountWith(caller: MemberRole, target: MemberRole) {
  const { userId: account } = await provisioned(database)
  const [callerId, memberId] = [await database.createUser(), await database.createUser()]
  for (const [id, role] of [
    [callerId, caller],
    [memberId, target],
  ] as const)
    await database.owner.query('insert into account_members (user_id, member_id, role) values ($1, $2, $3)', [
      account,
      id,
      role,
    ])
  const members = appRouter.createCaller(contextOf(database, await accessToken(callerId), { account })).members
  return { members, memberId }
}

const pairs = Roles.options.flatMap((caller) => Roles.options.map((target) => [caller, target] as const))

describe('what the pages offer', () => {
  it.each(pairs)(
    'a member with the role %s can give a %s exactly the roles that the server accepts',
    async (caller, target) => {
      const accepted: MemberRole[] = []
      for (const role of Roles.options) {
        const { members, memberId } = await accountWith(caller, target)
        const answer = await members.setRole({ memberId, role }).then(
          () => 'done',
          (error) => error.reason,
        )
        // A change to the same role changes nothing, so the database accepts it from everybody who may change roles.
        if (answer === 'done' && (role !== target || rolesToGive(caller, target).includes(role))) accepted.push(role)
        else if (answer !== 'done') expect(answer).toBe('role_insufficient')
      }
      expect(rolesToGive(caller, target)).toEqual(accepted)
    },
  )

  it.each(pairs)('a member with the role %s can remove a %s exactly if the server does it', async (caller, target) => {
    const { members, memberId } = await accountWith(caller, target)
    const removal = members.remove({ memberId })
    if (mayRemove(caller, target)) await removal
    else await expect(removal).rejects.toMatchObject({ reason: 'role_insufficient' })
  })
})
