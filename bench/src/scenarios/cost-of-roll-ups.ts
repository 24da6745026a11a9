import { createBatchLoop } from '../batch-loop.ts'
import type { Cluster } from '../cluster.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, type Effort, type Finding, ratio, type Series } from '../measure.ts'
import { addOperations, deleteUnusedOperations } from '../operations.ts'
import { removeRollUps } from '../variants.ts'

/** The engine sends batches of this size if it has 64 concurrent callers. */
const BATCH = 64
/** An account can have 100 operations. One of them is `default`, which already exists. */
const OPERATIONS = 99
const TARGET = 0.9

/** Measures how much slower charges are because they also write the roll-ups. */
export async function costOfRollUps(cluster: Cluster, effort: Effort): Promise<Finding> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['with', 'without'], async (databases) => {
    await removeRollUps(databases.without)
    const operations = Array.from({ length: OPERATIONS }, (_, n) => `operation-${n}`)
    for (const database of Object.values(databases)) await addOperations(database, operations)
    const loops = [createBatchLoop(databases.with.urls.api, BATCH), createBatchLoop(databases.without.urls.api, BATCH)] as const
    // All accounts are charged for one operation before any account is charged for the next operation.
    const worst = (charge: number) => operations[Math.floor(charge / keys.length) % OPERATIONS] ?? ''
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
    for (const database of Object.values(databases)) await deleteUnusedOperations(database)
    await assertNothingLost(databases.with, loops[0].charges)
    await assertNothingLost(databases.without, loops[1].charges, ['roll-up by cycle', 'roll-up by quarter hour'])
    return {
      title: 'The cost of the roll-ups',
      what: `One pg client sends batches of ${BATCH} to \`meter_batch\`, with and without the roll-ups by cycle and by 15-minute bucket. Hot: one key. Spread: ${keys.length} accounts in turn, so a batch changes ${BATCH} rows of each roll-up. Worst spread: the same, but each pass over the accounts charges the next of ${OPERATIONS} operations, so each charge inserts a row.`,
      series,
      ratios: [
        ratio('hot: with / without', series[0], series[1], { at: 'least', value: TARGET }),
        ratio('spread: with / without', series[2], series[3]),
        ratio('worst spread: with / without', series[4], series[5]),
      ],
      notes: [],
    }
  })
}
