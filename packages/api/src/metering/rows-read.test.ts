import { withClient } from '@keymeter/local'
import { testDatabase } from '@keymeter/local/testing'
import { beforeAll, expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { hashToken } from '../keys/token.ts'

const database = testDatabase()
const EVENTS = 20_000
const REVOKED = 2_000
let account: Awaited<ReturnType<typeof provisioned>>

/**
 * Creates one account with a long history and a hundred accounts with a short history, so that the planner’s averages are
 * wrong for the long history.
 */
beforeAll(async () => {
  account = await provisioned(database)
  for (let i = 0; i < 100; i++) await charge(database, (await provisioned(database)).defaultKey.secret, 1)
  await charge(database, account.defaultKey.secret, 1)
  await database.owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict, credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select user_id, sequence + n, created_at + n * interval '1 ms', api_key_id, gen_random_uuid()::text, operation, verdict, 1, 1, remaining, cycle_start, cycle_end
       from api_key_usage, generate_series(1, $2) n where user_id = $1`,
    [account.userId, EVENTS],
  )
  await database.owner.query(
    `with revoked as (insert into api_keys (user_id, name, revoked_at)
                      select $1, 'revoked ' || n, now() from generate_series(1, $2) n returning user_id, id)
     insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix) select user_id, id, sha256(convert_to(id::text, 'utf8')), 'km_dev_x' from revoked`,
    [account.userId, REVOKED],
  )
  await database.owner.query(
    `insert into credit_holds (user_id, sequence, api_key_id, operation, credits, cycle_start, created_at, expires_at, outcome, ended_at)
     select user_id, sequence, api_key_id, operation, 1, cycle_start, created_at, created_at + interval '1 hour', 'settled', created_at
       from api_key_usage where user_id = $1`,
    [account.userId],
  )
  await database.owner.query(
    `update billing_accounts set last_event_sequence = (select max(sequence) from api_key_usage where user_id = $1) where user_id = $1`,
    [account.userId],
  )
  await database.owner.query(`insert into operations select $1, 'operation-' || n from generate_series(1, 98) n`, [
    account.userId,
  ])
})

/** Decides one request of each action. Returns the scans that read more than two rows and discarded them. */
async function rowsInVain(): Promise<string[]> {
  return await withClient(database.urls.superuser, async (client) => {
    const notices: string[] = []
    client.on('notice', ({ message }) => notices.push(message ?? ''))
    await client.query(`
      load 'auto_explain';
      set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on;
      set auto_explain.log_timing = off; set client_min_messages = log`)
    const decide = async (actions: string[], refersTo: (string | null)[]) => {
      const byKey = (value: unknown) => refersTo.map((sequence) => (sequence === null ? value : null))
      const { rows } = await client.query<{ verdict: string; sequence: string }>(
        `select verdict, sequence from keymeter.meter_batch($1::uuid, $2::text[], array_fill($1, array[$7::int]), $3::bytea[], $4::bigint[], array_fill(1::bigint, array[$7]),
                                                   (select array_agg(gen_random_uuid()::text) from generate_series(1, $7)), $5::text[], $6::int[])`,
        [
          account.userId,
          actions,
          byKey(hashToken(account.defaultKey.secret)),
          refersTo,
          byKey('default'),
          actions.map((action) => (action === 'hold' ? 60 : null)),
          actions.length,
        ],
      )
      return rows
    }
    // Decide two items in one batch, because the second item is also compared with the first item.
    const made = [...(await decide(['charge', 'hold'], [null, null])), ...(await decide(['hold'], [null]))]
    expect(made.map(({ verdict }) => verdict)).toEqual(['charged', 'held', 'held'])
    const [charged = null, held = null, other = null] = made.map(({ sequence }) => sequence)
    const ended = [...(await decide(['refund', 'settle'], [charged, held])), ...(await decide(['release'], [other]))]
    expect(ended.map(({ verdict }) => verdict)).toEqual(['refunded', 'settled', 'released'])
    return notices
  }).then((notices) => {
    expect(notices.join('\n')).toContain('idempotency_key')
    return notices.flatMap((notice) => {
      const lines = notice.split('\n')
      return lines.flatMap((line, i) => {
        const removed = Number(/Rows Removed by (?:Join )?Filter: (\d+)/.exec(line)?.[1] ?? 0)
        return removed > 2
          ? [
              `${removed} rows: ${lines
                .slice(Math.max(0, i - 3), i)
                .join(' ')
                .replace(/\s+/g, ' ')}`,
            ]
          : []
      })
    })
  })
}

it('a charge, hold, settle, release or refund reads only the rows that it needs, even in a long history, with and without planner statistics', async () => {
  expect(await rowsInVain()).toEqual([])
  await database.owner.query('analyze')
  expect(await rowsInVain()).toEqual([])
})
