import { expect, it } from 'vitest'
import { backend, provisioned } from '../../test/caller.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'

const database = reconciledDatabase()
const { operator } = backend(database)

it('the line of a top-up that was taken back names the top-up, also if the top-up is in an earlier cycle, and no other line does', async () => {
  const { caller, userId: accountId } = await provisioned(database)
  const grant = { accountId, credits: 500, idempotencyKey: 'top-up', note: 'Invoice 7' }
  const { grantedAt } = await operator.grantTopUp(grant)
  await operator.grantTopUp({ accountId, credits: 20, idempotencyKey: 'other' })
  const takeBack = async (topUpIdempotencyKey: string, credits: number, note: string | null = null) =>
    await operator.takeBackTopUp({
      accountId,
      topUpIdempotencyKey,
      credits,
      note,
      idempotencyKey: `take ${credits}`.replace(' ', '-'),
    })
  await takeBack('top-up', 100, 'The payment was reversed')
  await takeBack('other', 5)
  const linesOf = async () =>
    (await caller.billing.ledger()).entries.map(({ kind, credits, note, topUp }) => ({ kind, credits, note, topUp }))
  expect(await linesOf()).toEqual([
    { kind: 'grant', credits: 1000, note: null, topUp: null },
    { kind: 'top_up', credits: 500, note: 'Invoice 7', topUp: null },
    { kind: 'top_up', credits: 20, note: null, topUp: null },
    { kind: 'take_back', credits: -100, note: 'The payment was reversed', topUp: { at: grantedAt, note: 'Invoice 7' } },
    { kind: 'take_back', credits: -5, note: null, topUp: { at: expect.any(String), note: null } },
  ])

  // Move the account and its ledger one month back, so that its first cycle has ended.
  await database.owner.query(
    `update billing_accounts set billing_cycle_anchor = billing_cycle_anchor - interval '1 month 1 day',
            billing_cycle_start = billing_cycle_start - interval '1 month 1 day' where user_id = $1`,
    [accountId],
  )
  await database.owner.query(
    `update ledger_entries set created_at = created_at - interval '1 month 1 day', cycle_start = cycle_start - interval '1 month 1 day'
      where user_id = $1`,
    [accountId],
  )
  await takeBack('top-up', 50)
  const earlier = new Date(grantedAt).getTime()
  const line = (await linesOf()).find(({ kind }) => kind === 'take_back')
  expect(line).toMatchObject({ credits: -50, topUp: { note: 'Invoice 7' } })
  expect(Date.parse(line?.topUp?.at ?? '')).toBeLessThan(earlier)
})
