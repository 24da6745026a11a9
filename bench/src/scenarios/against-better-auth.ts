import { createBetterAuth } from '../better-auth.ts'
import type { Cluster } from '../cluster.ts'
import { createEngine } from '../engine.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, type Effort, type Finding, ratio } from '../measure.ts'
import { addOperations, deleteUnusedOperations } from '../operations.ts'
import { assertDecisionsRemoved, removeDecisions } from '../variants.ts'

const CALLERS = 64
const TARGET_ONE_KEY = 40
const TARGET_MANY_KEYS = 20

/** Ours and better-auth in this process, each with its own pool, on one Postgres; and ours without decisions. */
export async function againstBetterAuth(cluster: Cluster, effort: Effort): Promise<Finding[]> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['ours', 'writing_only'], async ({ ours, writing_only }) => {
    await removeDecisions(writing_only)
    await addOperations(writing_only, ['default'])
    return await cluster.withEmptyDatabase(async (url) => {
      const betterAuth = await createBetterAuth(url, keys.length)
      const engine = createEngine(ours.db)
      const writer = createEngine(writing_only.db)
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
              name: 'writing only',
              run: async (seconds: number) => (await writer.charge(CALLERS, seconds, keys.slice(0, count))).perSecond,
            },
          ]
          const series = await alternate(rivals, '/s', effort, cluster.checkpoint)
          const overBetterAuth = ratio('ours / better-auth', series[0], series[1], { at: 'least', value: target })
          findings.push({
            title:
              count === 1
                ? 'One key, compared with better-auth'
                : `${count} keys of ${count} accounts, compared with better-auth`,
            what: `${CALLERS} concurrent callers in one Node process. Ours: a charge of 1 credit with an idempotency key, a usage event and two roll-ups. better-auth: \`verifyApiKey\` of a key with \`remaining\`, database mode, rate limit off, a pool of 10. Writing only: ours with a \`meter_batch\` that writes the same rows and decides nothing.`,
            series,
            ratios: [overBetterAuth, ratio('writing only / better-auth', series[2], series[1])],
            notes: [],
            headlines:
              count === 1
                ? [
                    { what: `Charges per second of one key, ${CALLERS} concurrent callers`, of: series[0] },
                    { what: 'The same, compared with better-auth', of: overBetterAuth },
                  ]
                : [{ what: `Charges per second of ${count} accounts, ${CALLERS} concurrent callers`, of: series[0] }],
          })
        }
        await deleteUnusedOperations(writing_only)
        await assertNothingLost(ours, engine.charges)
        await assertNothingLost(writing_only, writer.charges)
        await assertDecisionsRemoved(writing_only)
        await betterAuth.assertNothingLost()
        return findings
      } finally {
        await betterAuth.close()
      }
    })
  })
}
