import { randomUUID } from 'node:crypto'
import { ACCESS, type MemberCall, MemberRole } from '@keymeter/contract'
import { describe, expect, it } from 'vitest'
import { accessToken, byMember, contextOf, provisioned } from '../test/caller.ts'
import { actingOn, team } from '../test/members.ts'
import { reconciledDatabase } from '../test/reconciled-database.ts'
import { exportAccount } from './accounts/export.ts'
import { appRouter } from './router.ts'
import { exportUsage } from './usage/export.ts'

const database = reconciledDatabase()

type Caller = ReturnType<typeof appRouter.createCaller>
type Team = Awaited<ReturnType<typeof team>>

/** What a call names: a key, a member and an invitation. */
interface Subject {
  keyId: string
  memberId: string
  accountId: string
  userId: string
  /** An open invitation to the account. */
  invitationId: string
}

/** One call for each row of the table. Each call succeeds if the role may make it. */
const CALLS: Record<MemberCall, (caller: Caller, subject: Subject) => Promise<unknown>> = {
  'accounts.close': async ({ accounts }) => await accounts.close({ confirmation: 'delete' }),
  'accounts.rename': async ({ accounts }) => await accounts.rename({ name: 'renamed' }),
  'accounts.requireSecondFactor': async ({ accounts }) => await accounts.requireSecondFactor({ isRequired: false }),
  'alerts.list': async ({ alerts }) => await alerts.list(),
  'alerts.setThresholds': async ({ alerts }) => await alerts.setThresholds({ thresholds: [70] }),
  'audit.list': async ({ audit }) => await audit.list(),
  // This call acts only on the own account of a person.
  'auth.provision': async ({ auth }) => await auth.provision(),
  'billing.get': async ({ billing }) => await billing.get(),
  'billing.ledger': async ({ billing }) => await billing.ledger(),
  'export.account': async (_, { accountId, userId }) => {
    const call = { ...contextOf(database, null), userId: accountId, by: byMember(userId, 'export.account') }
    for await (const part of exportAccount(call)) expect(part).toBeTypeOf('string')
  },
  'export.usage': async (_, { accountId, userId }) => {
    const call = { ...contextOf(database, null), userId: accountId, by: byMember(userId, 'export.usage') }
    for await (const line of exportUsage(call, {})) expect(line).toBeTypeOf('string')
  },
  'keys.confirmSecretSaved': async ({ keys }, { keyId: id }) => await keys.confirmSecretSaved({ id }),
  'keys.create': async ({ keys }) => await keys.create({ name: 'new' }),
  'keys.disable': async ({ keys }, { keyId: id }) => await keys.disable({ id }),
  'keys.enable': async ({ keys }, { keyId: id }) => await keys.enable({ id }),
  'keys.endGrace': async ({ keys }, { keyId: id }) => await keys.endGrace({ id }),
  'keys.get': async ({ keys }, { keyId: id }) => await keys.get({ id }),
  'keys.list': async ({ keys }) => await keys.list(),
  'keys.replaceLostSecret': async ({ keys }, { keyId: id }) =>
    await keys.replaceLostSecret({ id, keyPrefix: (await keys.get({ id })).keyPrefix, idempotencyKey: randomUUID() }),
  'keys.revoke': async ({ keys }, { keyId: id }) => await keys.revoke({ id }),
  'keys.rotate': async ({ keys }, { keyId: id }) => await keys.rotate({ id }),
  'keys.update': async ({ keys }, { keyId: id }) => await keys.update({ id, name: 'renamed' }),
  'keys.usage': async ({ keys }) => await keys.usage(),
  'members.invitations': async ({ members }) => await members.invitations(),
  'members.invite': async ({ members }) => await members.invite({ email: `${randomUUID()}@example.com`, role: 'viewer' }),
  'members.leave': async ({ members }) => await members.leave(),
  'members.list': async ({ members }) => await members.list(),
  'members.remove': async ({ members }, { memberId }) => await members.remove({ memberId }),
  'members.revokeInvitation': async ({ members }, { invitationId }) => await members.revokeInvitation({ invitationId }),
  'members.setRole': async ({ members }, { memberId }) => await members.setRole({ memberId, role: 'viewer' }),
  'members.transferOwnership': async ({ members }, { memberId }) => await members.transferOwnership({ memberId }),
  'usage.events': async ({ usage }) => await usage.events(),
  'usage.timeseries': async ({ usage }) => await usage.timeseries(),
  'usage.watch': async ({ usage }) => {
    for await (const _ of await usage.watch()) return
  },
}

const CALLS_ON_ACCOUNTS = (Object.keys(CALLS) as MemberCall[]).filter((call) => call !== 'auth.provision')

/** Returns the reason of the refusal, or `done`. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'done',
    (error: { reason?: string }) => error.reason ?? String(error),
  )
}

async function subjectOf({ accountId, ownersKey, membersKey, member }: Team, isOwn: boolean): Promise<Subject> {
  const memberId = await database.createUser()
  await database.owner.query("insert into account_members (user_id, member_id, role) values ($1, $2, 'developer')", [
    accountId,
    memberId,
  ])
  const { rows } = await database.owner.query<{ id: string }>(
    `insert into account_invitations (user_id, token_hash, email, role, created_at, expires_at)
     values ($1, sha256($2::uuid::text::bytea), 'guest@example.com', 'viewer', now(), now() + interval '1 day') returning id`,
    [accountId, memberId],
  )
  const invitationId = rows[0]?.id ?? ''
  return { accountId, userId: member.memberId, memberId, invitationId, keyId: isOwn ? membersKey : ownersKey }
}

describe('the table of calls and roles', () => {
  it('contains every procedure on an account, and the calls of this file cover the table', () => {
    const { procedures } = appRouter._def
    const paths = Object.keys(procedures).filter((path) => !/^(metering|operator)\./.test(path))
    const ofPeople = [
      'accounts.getDeletion',
      'accounts.list',
      'accounts.open',
      'auth.deleteMe',
      'auth.requestPasswordReset',
      'auth.resendConfirmation',
      'auth.signup',
      'members.acceptInvitation',
      'members.readInvitation',
    ]
    expect([...paths, 'export.account', 'export.usage'].filter((path) => !ofPeople.includes(path)).sort()).toEqual(
      Object.keys(ACCESS).sort(),
    )
    expect(Object.keys(CALLS).sort()).toEqual(Object.keys(ACCESS).sort())
  })

  for (const role of MemberRole.options) {
    it.each(CALLS_ON_ACCOUNTS)(`decides what a member with the role ${role} may do: %s`, async (path) => {
      for (const isOwn of [true, false]) {
        const account = await team(database, role)
        const subject = await subjectOf(account, isOwn)
        const access = ACCESS[path][role]
        const isAboutKey = path.startsWith('keys.') && CALLS[path].length > 1
        const isAllowed = access === 'yes' || (access === 'own keys' && (isOwn || !isAboutKey))
        const before = await database.owner.query('select audit_length from billing_accounts where user_id = $1', [
          account.accountId,
        ])
        expect([path, isOwn, await outcomeOf(CALLS[path](account.member.caller, subject))]).toEqual([
          path,
          isOwn,
          isAllowed ? 'done' : 'role_insufficient',
        ])
        const after = await database.owner.query('select audit_length from billing_accounts where user_id = $1', [
          account.accountId,
        ])
        if (!isAllowed) expect(after.rows).toEqual(before.rows)
      }
    })
  }

  it.each(CALLS_ON_ACCOUNTS)(
    'gives a person who is not a member, a removed member and an unknown account the same answer: %s',
    async (path) => {
      const account = await team(database, 'admin')
      const subject = await subjectOf(account, true)
      await account.owner.members.remove({ memberId: account.member.memberId })
      const stranger = await provisioned(database)
      const outcomes = [
        outcomeOf(CALLS[path](account.member.caller, subject)),
        outcomeOf(
          CALLS[path](await actingOn(database, account.accountId, stranger.userId), { ...subject, userId: stranger.userId }),
        ),
        outcomeOf(
          CALLS[path](await actingOn(database, randomUUID(), stranger.userId), {
            ...subject,
            userId: stranger.userId,
            accountId: randomUUID(),
          }),
        ),
      ]
      expect(await Promise.all(outcomes)).toEqual(['not_a_member', 'not_a_member', 'not_a_member'])
    },
  )

  it('a procedure that the table does not contain is open to nobody', async () => {
    const { router, signedInProcedure } = await import('./trpc.ts')
    const forgotten = router({ forgotten: signedInProcedure.query(() => 'data') })
    const { userId } = await provisioned(database)
    const caller = forgotten.createCaller(contextOf(database, await accessToken(userId)))
    await expect(caller.forgotten()).rejects.toThrow('access.ts does not contain forgotten')
  })
})
