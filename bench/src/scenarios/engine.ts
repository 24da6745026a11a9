import pg from 'pg'
import type { Key } from '../accounts.ts'
import { chargesOf, createBatchLoop, hashKey, METER_BATCH } from '../batch-loop.ts'
import type { Cluster } from '../cluster.ts'
import { createEngine } from '../engine.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, closedLoop, type Effort, type Finding, ratio } from '../measure.ts'
import { findPgbench, PGBENCH_ARGS, runPgbench } from '../pgbench.ts'

const CALLERS = 64
const POOL_CONNECTIONS_MAX = 10
const TARGET_HOT_OVER_SPREAD = 1
const TARGET_OVER_PGBENCH = 0.6
const TARGET_SINGLE_CALLER = 1.3

/** Compares charges of one account with charges of many accounts. */
export async function hotAgainstSpread(cluster: Cluster, effort: Effort): Promise<Finding> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['ours'], async ({ ours }) => {
    const engine = createEngine(ours.db)
    const series = await alternate(
      [
        { name: 'hot: 1 account', run: async (seconds) => (await engine.charge(CALLERS, seconds, keys.slice(0, 1))).perSecond },
        {
          name: `spread: ${keys.length} accounts`,
          run: async (seconds) => (await engine.charge(CALLERS, seconds, keys)).perSecond,
        },
      ],
      '/s',
      effort,
      cluster.checkpoint,
    )
    await assertNothingLost(ours, engine.charges)
    return {
      title: 'One hot account, compared with many accounts',
      what: `${CALLERS} callers charge through the engine. All charges of one account lock the same row, so they wait for each other unless they share a commit.`,
      series,
      ratios: [ratio('hot / spread', series[0], series[1], { at: 'least', value: TARGET_HOT_OVER_SPREAD })],
      notes: [],
    }
  })
}

/**
 * Measures how much the engine, Node and the driver cost in addition to the SQL function. For comparison, pgbench sends the
 * same statement without the engine, Node and the driver.
 */
export async function againstPgbench(cluster: Cluster, effort: Effort): Promise<Finding> {
  const [key] = cluster.accounts.keys
  if (key === undefined) throw new Error('there are no accounts')
  const pgbench = findPgbench()
  return await cluster.withDatabases(['ours', 'theirs'], async ({ ours, theirs }) => {
    const engine = createEngine(ours.db)
    await engine.charge(CALLERS, Math.min(1, effort.seconds), [key])
    const size = Math.round(engine.charges / engine.batches)
    let charges = 0
    const loop = createBatchLoop(theirs.urls.api, size)
    const bare =
      pgbench === null
        ? { name: 'pg client in a loop', run: async (seconds: number) => await loop.run(seconds, [key]) }
        : {
            name: 'pgbench',
            run: async (seconds: number) => {
              const run = await runPgbench(pgbench, theirs.urls.api, size, seconds, key)
              charges += run.charges
              return run.perSecond
            },
          }
    const series = await alternate(
      [{ name: 'ours', run: async (seconds) => (await engine.charge(CALLERS, seconds, [key])).perSecond }, bare],
      '/s',
      effort,
      cluster.checkpoint,
    )
    await assertNothingLost(ours, engine.charges)
    await assertNothingLost(theirs, charges + loop.charges)
    return {
      title: 'The engine, compared with its SQL function',
      what: `${CALLERS} callers charge one key through the engine. The engine's batches contain ${size} charges. ${bare.name} sends batches of the same size, one after another.`,
      series,
      ratios: [ratio(`ours / ${bare.name}`, series[0], series[1], { at: 'least', value: TARGET_OVER_PGBENCH })],
      notes:
        pgbench === null
          ? ['pgbench was not found, so a pg client in a loop sends the batches.']
          : [`pgbench runs with \`${PGBENCH_ARGS.join(' ')}\` and sends the same statement as the engine.`],
    }
  })
}

/** Measures how much batching costs a single caller, whose batches contain only one charge. */
export async function singleCaller(cluster: Cluster, effort: Effort): Promise<Finding> {
  const { keys } = cluster.accounts
  const [key] = keys
  if (key === undefined) throw new Error('there are no accounts')
  return await cluster.withDatabases(['ours', 'unbatched'], async ({ ours, unbatched }) => {
    const engine = createEngine(ours.db)
    const pool = new pg.Pool({ connectionString: unbatched.urls.api, max: POOL_CONNECTIONS_MAX })
    let charges = 0
    try {
      const series = await alternate(
        [
          { name: 'ours', run: async (seconds) => (await engine.charge(1, seconds, [key])).p50Ms },
          {
            name: 'unbatched',
            run: async (seconds) =>
              (
                await closedLoop(1, seconds, async () => {
                  charges++
                  await chargeOne(pool, key)
                })
              ).p50Ms,
          },
        ],
        'ms',
        effort,
        cluster.checkpoint,
      )
      await assertNothingLost(ours, engine.charges)
      await assertNothingLost(unbatched, charges)
      return {
        title: 'A single caller',
        what: 'One caller charges one key. The figure is the median latency of a charge. "unbatched" calls `meter_batch` with one item through a pg pool, without the engine.',
        series,
        ratios: [ratio('ours / unbatched', series[0], series[1], { at: 'most', value: TARGET_SINGLE_CALLER })],
        notes: [],
        headlines: [{ what: 'Latency of a charge, one caller', of: series[0] }],
      }
    } finally {
      await pool.end()
    }
  })
}

async function chargeOne(pool: pg.Pool, { userId, secret }: Key): Promise<void> {
  const { rows } = await pool.query(
    METER_BATCH,
    chargesOf([{ userId, hash: hashKey(secret) }], () => 'default'),
  )
  if (rows[0]?.verdict !== 'charged') throw new Error('a charge was refused')
}
