import type { MemberRole } from '@keymeter/contract'
import { afterEach, describe, expect, inject, it } from 'vitest'
import { accessToken, backend, contextOf, provisioned } from '../../test/caller.ts'
import { actingOn, memberOf, team } from '../../test/members.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { verifyAudit } from '../maintenance/verify-audit.ts'
import { appRouter } from '../router.ts'

/** `pnpm test:soak` repeats each race more often. No lock and no barrier decides the order of the calls in these races. */
const size = inject('isSoak')
  ? { acceptances: 100, removals: 300, pairs: 40, transfers: 300, deletions: 300, closings: 100 }
  : { acceptances: 2, removals: 5, pairs: 1, transfers: 5, deletions: 5, closings: 3 }

const database = reconciledDatabase()
const { owner } = database

afterEach(async () => {
  expect((await verifyAudit(database.ownerDb)).faults).toEqual([])
  const { rows } = await owner.query('select deadlocks::int from pg_stat_database where datname = $1', [database.name])
  expect(rows).toEqual([{ deadlocks: 0 }])
})

type Caller = Awaited<ReturnType<typeof actingOn>>
/** A call that has ended: `done`, or the reason of its refusal. Any other error ends the test. */
const outcomeOf = async (call: Promise<unknown>): Promise<string> =>
  await call.then(
    () => 'done',
    (error) => {
      if (typeof error.reason !== 'string') throw error
      return error.reason
    },
  )
const outcomesOf = async (calls: Promise<unknown>[]) => await Promise.all(calls.map(outcomeOf))

async function rolesIn(accountId: string): Promise<Map<string, MemberRole | null>> {
  const { rows } = await owner.query('select member_id, role from account_members where user_id = $1', [accountId])
  return new Map(rows.map(({ member_id, role }) => [member_id, role]))
}
const ownersIn = async (accountId: string) => [...(await rolesIn(accountId)).values()].filter((role) => role === 'owner').length

/** The numbers of the entries of the audit log with these actions. */
async function sequencesOf(accountId: string, actions: string[], actorId: string | null = null): Promise<number[]> {
  const { rows } = await owner.query(
    `select sequence::int from audit_log
      where user_id = $1 and action = any($2) and ($3::uuid is null or actor_id = $3) order by sequence`,
    [accountId, actions, actorId],
  )
  return rows.map(({ sequence }) => sequence)
}
const CHANGES_OF_MEMBERS = ['member.role_changed', 'member.left', 'member.removed']

/** Waits for a random number of turns of the event loop, so that each round has another order of events. */
async function randomTurns(max: number): Promise<void> {
  for (let turns = Math.floor(Math.random() * max); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
}

describe('races of members', () => {
  it('50 concurrent acceptances add one member, or none if the invitation is revoked at the same time', async () => {
    for (let round = 0; round < size.acceptances; round++) {
      const { userId: accountId, caller } = await provisioned(database)
      const [invitedId, otherId] = [await database.createUser(), await database.createUser()]
      const { link, invitation } = await caller.members.invite({ email: `${invitedId}@example.com`, role: 'viewer' })
      const token = link.slice(link.indexOf('#') + 1)
      const people = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? invitedId : otherId))
      const callers = await Promise.all(people.map(async (userId) => await actingOn(database, accountId, userId)))
      const isRevoked = round % 2 === 1
      const revoking = isRevoked
        ? randomTurns(100).then(() => outcomeOf(caller.members.revokeInvitation({ invitationId: invitation.id })))
        : 'not sent'
      const answers = await outcomesOf(callers.map((one) => one.members.acceptInvitation({ token })))
      const revoked = await revoking

      const accepted = answers.filter((_, n) => n % 2 === 0)
      const [first] = accepted
      // All acceptances of the invited person have the same outcome, because the invitation has one end.
      if (revoked === 'done') expect(new Set(accepted)).toEqual(new Set(['invitation_revoked']))
      else expect([new Set(accepted), revoked]).toEqual([new Set(['done']), isRevoked ? 'invitation_not_found' : 'not sent'])
      for (const [n, answer] of answers.entries()) if (n % 2 === 1) expect(answer).toBe('invitation_other_address')
      const members = [...(await rolesIn(accountId)).keys()].sort()
      expect(members).toEqual((first === 'done' ? [accountId, invitedId] : [accountId]).sort())
      expect(await sequencesOf(accountId, ['member.joined'])).toHaveLength(first === 'done' ? 1 : 0)
    }
  })

  it('a member who is removed during calls and streams changes nothing afterwards, and all streams of the member end', async () => {
    for (let round = 0; round < size.removals; round++) {
      const { accountId, owner: first, member, membersKey } = await team(database, 'admin')
      const context = contextOf(database, await accessToken(member.memberId), { account: accountId })
      const caller = appRouter.createCaller(context)
      const streams = await Promise.all(
        Array.from({ length: 3 }, async () => {
          const stream = (await caller.usage.watch())[Symbol.asyncIterator]()
          await stream.next()
          return stream
        }),
      )
      // Handles the error with which a stream ends immediately, because the test looks at it only later.
      const ended = Promise.allSettled(
        streams.map(async (stream) => {
          while (!(await stream.next()).done);
        }),
      )
      const late: string[] = []
      let isRemoved = false
      let calls = 0
      /** Calls without a pause, and twice after the answer to the removal. */
      const act = async () => {
        for (let more = 2; more > 0; ) {
          const isLate = isRemoved
          if (isLate) more--
          const [n, kind] = [calls++, calls % 4]
          const outcome = await outcomeOf(
            kind === 0
              ? caller.keys.create({ name: `key ${n}` })
              : kind === 1
                ? caller.keys.update({ id: membersKey, name: `name ${n}` })
                : kind === 2
                  ? caller.members.invite({ email: `${n}@example.com`, role: 'viewer' })
                  : caller.keys.list(),
          )
          expect(['done', 'not_a_member']).toContain(outcome)
          if (isLate) late.push(outcome)
        }
      }
      const acting = Promise.all(Array.from({ length: 4 }, act))
      await randomTurns(200)
      const remover = await actingOn(database, accountId, accountId, { usageWatch: context.usageWatch })
      await remover.members.remove({ memberId: member.memberId })
      isRemoved = true
      await acting
      expect(new Set(late)).toEqual(new Set(['not_a_member']))
      for (const one of await ended) expect(one.status).toBe('rejected')
      expect(context.usageWatch.size).toBe(0)
      // The last entry of the member is earlier than the entry of the removal.
      const [removal = 0] = await sequencesOf(accountId, ['member.removed'])
      const byMember = await sequencesOf(accountId, ['key.created', 'key.updated', 'member.invited'], member.memberId)
      expect(Math.max(0, ...byMember)).toBeLessThan(removal)
      // Each key that the member created has its entry, and no other key exists.
      const created = await sequencesOf(accountId, ['key.created'], member.memberId)
      expect((await first.keys.list({ search: 'key ', limit: 100 })).data).toHaveLength(created.length)
    }
  })

  type Act = (caller: Caller, own: string, other: string) => Promise<unknown>
  const ACTS: Record<string, Act> = {
    leaves: (caller) => caller.members.leave(),
    'removes the other': (caller, _, other) => caller.members.remove({ memberId: other }),
    'demotes the other': (caller, _, other) => caller.members.setRole({ memberId: other, role: 'viewer' }),
    'takes a lower role': (caller, own) => caller.members.setRole({ memberId: own, role: 'admin' }),
    'transfers the ownership to the other': (caller, _, other) => caller.members.transferOwnership({ memberId: other }),
  }
  const PAIRS = Object.keys(ACTS).flatMap((one, i) =>
    Object.keys(ACTS)
      .slice(i)
      .map((other) => [one, other] as const),
  )

  it.each(PAIRS)('of two owners, one %s and the other one %s, and there is an owner afterwards', async (one, other) => {
    for (let round = 0; round < size.pairs; round++) {
      const { accountId, owner: first, second } = await team(database, 'viewer')
      const [actOfFirst, actOfSecond] = [ACTS[one], ACTS[other]]
      const outcomes = await outcomesOf([
        randomTurns(10).then(() => actOfFirst?.(first, accountId, second.memberId)),
        randomTurns(10).then(() => actOfSecond?.(second.caller, second.memberId, accountId)),
      ])
      for (const outcome of outcomes)
        expect(['done', 'last_owner', 'not_a_member', 'role_insufficient', 'member_not_found']).toContain(outcome)
      expect(outcomes).toContain('done')
      expect(await ownersIn(accountId)).toBeGreaterThanOrEqual(1)
      // A call that was refused has changed nothing.
      const changes = (await sequencesOf(accountId, CHANGES_OF_MEMBERS)).length
      expect(changes).toBeGreaterThanOrEqual(outcomes.filter((outcome) => outcome === 'done').length)
      if (outcomes.includes('last_owner')) expect(await ownersIn(accountId)).toBe(1)
    }
  })

  it('an ownership that is transferred while its next owner and another owner leave has an owner afterwards', async () => {
    for (let round = 0; round < size.transfers; round++) {
      const { accountId, owner: first, second, member } = await team(database, 'developer')
      const [transfer = '', ...leaves] = await outcomesOf([
        randomTurns(20).then(() => first.members.transferOwnership({ memberId: member.memberId })),
        randomTurns(20).then(() => member.caller.members.leave()),
        randomTurns(20).then(() => second.caller.members.leave()),
      ])
      expect(['done', 'member_not_found', 'last_owner']).toContain(transfer)
      for (const outcome of leaves) expect(['done', 'last_owner']).toContain(outcome)
      expect(await ownersIn(accountId)).toBeGreaterThanOrEqual(1)
      // The transfer happens as a whole or not at all.
      expect((await rolesIn(accountId)).get(accountId)).toBe(transfer === 'done' ? 'admin' : 'owner')
    }
  })

  it('a user who is deleted during own changes has made each change as a whole or not at all', async () => {
    for (let round = 0; round < size.deletions; round++) {
      const { accountId, owner: first, member, membersKey } = await team(database, 'admin')
      const { caller, memberId } = member
      const other = await memberOf(database, accountId, 'viewer')
      const changes = outcomesOf([
        caller.keys.create({ name: 'last' }),
        caller.keys.update({ id: membersKey, name: 'changed' }),
        caller.members.setRole({ memberId: other.memberId, role: 'developer' }),
        caller.members.invite({ email: 'invited@example.com', role: 'viewer' }),
        caller.members.leave(),
      ])
      await randomTurns(100)
      await owner.query('delete from auth.users where id = $1', [memberId])
      const outcomes = await changes
      // A change that refers to the deleted user fails with not_signed_in.
      for (const outcome of outcomes) expect(['done', 'not_a_member', 'not_signed_in']).toContain(outcome)
      const isDone = outcomes.map((outcome) => outcome === 'done')
      const keys = (await first.keys.list({ limit: 100 })).data
      expect([
        keys.some(({ name }) => name === 'last'),
        keys.some(({ name }) => name === 'changed'),
        (await rolesIn(accountId)).get(other.memberId) === 'developer',
        (await first.members.invitations()).data.length === 1,
      ]).toEqual(isDone.slice(0, 4))
      const entries = ['key.created', 'key.updated', 'member.role_changed', 'member.invited', 'member.left']
      expect(
        await Promise.all(entries.map(async (action) => (await sequencesOf(accountId, [action], memberId)).length)),
      ).toEqual(isDone.map(Number))
      expect((await rolesIn(accountId)).has(memberId)).toBe(false)
      expect(await outcomeOf(caller.keys.list())).toBe('not_a_member')
    }
  })

  it('an account that is closed during charges charges nothing afterwards, and has charged exactly what was answered', async () => {
    const { metering } = backend(database)
    let requests = 0
    for (let round = 0; round < size.closings; round++) {
      const { userId: accountId, caller, defaultKey } = await provisioned(database)
      const secrets = [defaultKey.secret, (await caller.keys.create({ name: 'second' })).secret]
      let isClosed = false
      let charged = 0
      let held = 0
      const late: string[] = []
      /** Charges without a pause, and three times after the answer to the call that closes the account. */
      const spend = async (_: unknown, n: number) => {
        for (let more = 3; more > 0; ) {
          const isLate = isClosed
          if (isLate) more--
          const item = { key: secrets[n % 2] ?? '', credits: 1, idempotencyKey: `race-${requests++}` }
          const { verdict } = n < 6 ? await metering.charge(item) : await metering.hold({ ...item, ttlSeconds: 600 })
          if (verdict === 'charged') charged++
          if (verdict === 'held') held++
          expect(['charged', 'held', 'revoked', 'insufficient_credits', 'too_many_holds']).toContain(verdict)
          if (isLate) late.push(verdict)
        }
      }
      const spending = Promise.all(Array.from({ length: 8 }, spend))
      await randomTurns(200)
      await caller.accounts.close({ confirmation: 'delete' })
      isClosed = true
      await spending
      expect(new Set(late)).toEqual(new Set(['revoked']))
      const { rows } = await owner.query(
        'select credits_used::int, credits_held::int, closed_at is not null as "isClosed" from billing_accounts where user_id = $1',
        [accountId],
      )
      expect(rows).toEqual([{ credits_used: charged, credits_held: held, isClosed: true }])
      expect(new Set((await rolesIn(accountId)).values())).toEqual(new Set([null]))
    }
  })
})
