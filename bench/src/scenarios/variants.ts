import type { Key } from '../accounts.ts'
import { createBatchLoop } from '../batch-loop.ts'
import type { Cluster, Database } from '../cluster.ts'
import { loadEvents } from '../events.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, type Effort, type Finding, ratio, type Series } from '../measure.ts'
import { CHARGE_REQUESTS, replaceMeterBatch, withChargeRequests, withoutRollUps } from '../variants.ts'

/** As many as the engine's batches hold when 64 callers wait. */
const BATCH = 64
/** The most operations that an account may have, beside `default`. */
const OPERATIONS = 99
const TARGET_ROLL_UPS_COST = 0.9

/** What the two exact roll-ups cost the charge that keeps them. */
export async function costOfRollUps(cluster: Cluster, effort: Effort): Promise<Finding> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['with', 'without'], async (databases) => {
    await replaceMeterBatch(databases.without, withoutRollUps)
    for (const database of Object.values(databases)) await addOperations(database)
    const loops = [createBatchLoop(databases.with.urls.api, BATCH), createBatchLoop(databases.without.urls.api, BATCH)] as const
    // Another row of the quarter hours for each charge: every account under one operation, then under the next.
    const worst = (charge: number) => `operation-${Math.floor(charge / keys.length) % OPERATIONS}`
    const series: Series[] = []
    for (const [name, charged, operation] of [
      ['hot', keys.slice(0, 1), undefined],
      ['spread', keys, undefined],
      ['worst spread', keys, worst],
    ] as const)
      series.push(
        ...(await alternate(
          [
            { name: `${name}, with`, run: async (seconds) => await loops[0].run(seconds, charged, operation) },
            { name: `${name}, without`, run: async (seconds) => await loops[1].run(seconds, charged, operation) },
          ],
          '/s',
          effort,
          cluster.checkpoint,
        )),
      )
    await assertNothingLost(databases.with, loops[0].charges)
    await assertNothingLost(databases.without, loops[1].charges, (what) => what.startsWith('roll-up'))
    return {
      title: 'The cost of the roll-ups',
      what: `One pg client that sends batches of ${BATCH}: the function as it is, against itself without the two roll-ups. Hot: one key. Spread: ${keys.length} accounts in turn, so ${BATCH} rows of each roll-up a batch. Worst spread: the same, under another of ${OPERATIONS} operations each time round, so that each charge makes a new row.`,
      series,
      ratios: [
        ratio('hot: with / without', series[0], series[1], { at: 'least', value: TARGET_ROLL_UPS_COST }),
        ratio('spread: with / without', series[2], series[3]),
        ratio('worst spread: with / without', series[4], series[5]),
      ],
      notes: [],
    }
  })
}

/** Two ways to find an earlier request, on new tables and on large ones. */
export async function waysOfIdempotency(cluster: Cluster, size: number, effort: Effort): Promise<Finding> {
  const { keys, large } = cluster.accounts
  return await cluster.withDatabases(['look', 'insert', 'look_loaded', 'insert_loaded'], async (databases) => {
    const pairs: { name: string; events: number; charged: [string, Key[]][]; look: Database; insert: Database }[] = []
    for (const isLoaded of [false, true]) {
      const look = isLoaded ? databases.look_loaded : databases.look
      const insert = isLoaded ? databases.insert_loaded : databases.insert
      await insert.owner.query(CHARGE_REQUESTS)
      await replaceMeterBatch(insert, withChargeRequests)
      let events = 0
      if (isLoaded) {
        events = await loadEvents(look, cluster.accounts, size)
        await loadEvents(insert, cluster.accounts, size)
        await insert.owner.query('insert into charge_requests select user_id, idempotency_key from api_key_usage')
        await insert.owner.query('vacuum analyze')
      }
      pairs.push({
        name: isLoaded ? `${events.toLocaleString('en')} events` : 'new tables',
        events,
        charged: [
          ['hot', isLoaded ? large : keys.slice(0, 1)],
          ['spread', keys],
        ],
        look,
        insert,
      })
    }
    const series: Series[] = []
    const ratios = []
    for (const { name, events, charged, look, insert } of pairs) {
      const loops = [createBatchLoop(insert.urls.api, BATCH), createBatchLoop(look.urls.api, BATCH)] as const
      for (const [where, which] of charged) {
        const [inserts, looks] = await alternate(
          [
            { name: `${where}, ${name}: own table`, run: async (seconds) => await loops[0].run(seconds, which) },
            { name: `${where}, ${name}: look`, run: async (seconds) => await loops[1].run(seconds, which) },
          ],
          '/s',
          effort,
          cluster.checkpoint,
        )
        if (inserts === undefined || looks === undefined) throw new Error('nothing was measured')
        series.push(inserts, looks)
        ratios.push(ratio(`${where}, ${name}: own table / look`, inserts, looks))
      }
      await assertNothingLost(insert, loops[0].charges + events)
      await assertNothingLost(look, loops[1].charges + events)
    }
    return {
      title: 'Two ways of idempotency',
      what: `One pg client that sends batches of ${BATCH}. Look: the product's way, which locks the account and looks into the partitions of the last 35 days. Own table: \`charge_requests (user_id, idempotency_key)\` without partitions, inserted into on conflict do nothing. The own table keeps the events' index too, which answers the replays; what its purge after 35 days would cost is not in the figures.`,
      series,
      ratios,
      notes: [],
    }
  })
}

async function addOperations({ owner }: Database): Promise<void> {
  await owner.query(
    `insert into operations select user_id, 'operation-' || n from billing_accounts cross join generate_series(0, $1 - 1) as n`,
    [OPERATIONS],
  )
  await owner.query('vacuum analyze operations')
}
