import { createBetterAuth } from '../better-auth.ts'
import type { Cluster } from '../cluster.ts'
import { createEngine } from '../engine.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, type Effort, type Finding, ratio } from '../measure.ts'
import { replaceMeterBatch, writingAlone } from '../variants.ts'

const CALLERS = 64
const TARGET_ONE_KEY = 40
const TARGET_MANY_KEYS = 20

/**
 * Both in this process, each with its own pool, on one Postgres. Beside them the engine with a function that writes its rows
 * and decides nothing, which says how far any engine that keeps them could come on this machine.
 */
export async function againstBetterAuth(cluster: Cluster, effort: Effort): Promise<Finding[]> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['ours', 'writing_alone'], async ({ ours, writing_alone }) => {
    await replaceMeterBatch(writing_alone, writingAlone)
    await writing_alone.owner.query("insert into operations select user_id, 'default' from billing_accounts")
    return await cluster.withEmptyDatabase(async (url) => {
      const betterAuth = await createBetterAuth(url, keys.length)
      const engine = createEngine(ours.db)
      const writer = createEngine(writing_alone.db)
      try {
        const findings: Finding[] = []
        for (const [count, target] of [
          [1, TARGET_ONE_KEY],
          [keys.length, TARGET_MANY_KEYS],
        ] as const) {
          const rivals = [
            {
              name: 'ours',
              run: async (seconds: number) => (await engine.charge(CALLERS, seconds, keys.slice(0, count))).perSecond,
            },
            {
              name: 'better-auth',
              run: async (seconds: number) =>
                (await betterAuth.verify(CALLERS, seconds, betterAuth.keys.slice(0, count))).perSecond,
            },
            {
              name: 'writing alone',
              run: async (seconds: number) => (await writer.charge(CALLERS, seconds, keys.slice(0, count))).perSecond,
            },
          ]
          const series = await alternate(rivals, '/s', effort, cluster.checkpoint)
          await assertNothingLost(ours, engine.charges)
          await assertNothingLost(writing_alone, writer.charges)
          await betterAuth.assertNothingLost()
          findings.push({
            title: count === 1 ? 'One key, against better-auth' : `${count} keys of ${count} accounts, against better-auth`,
            what: `${CALLERS} callers at once in one Node process. Ours: a charge of 1 credit with an idempotency key, a usage event and two roll-ups. better-auth: \`verifyApiKey\` of a key with \`remaining\`, database mode, rate limit off, a pool of 10. Writing alone: ours with a function that writes the same rows and decides nothing.`,
            series,
            ratios: [
              ratio('ours / better-auth', series[0], series[1], { at: 'least', value: target }),
              ratio('writing alone / better-auth', series[2], series[1]),
            ],
            notes: [],
          })
        }
        return findings
      } finally {
        await betterAuth.close()
      }
    })
  })
}
