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

/**
 * Compares Keymeter's charge engine with better-auth, and with an engine that writes the same rows without decisions. All three
 * run in this process and on the same Postgres, each with its own database and its own pool.
 */
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
            what: `${CALLERS} concurrent callers in one Node process. "ours" charges 1 credit with an idempotency key, and writes a usage event and two roll-ups. "better-auth" is a library for authentication, with its plugin for API keys. It calls \`verifyApiKey\` for a key with \`remaining\`, in database mode, without rate limit, with a pool of 10 connections. "writing only" is ours with a \`meter_batch\` that writes the same rows without any decision.`,
            series,
            ratios: [overBetterAuth, ratio('writing only / better-auth', series[2], series[1])],
            notes: [],
            headlines:
              count === 1
                ? [
                    { what: `Charges per second of one key, ${CALLERS} concurrent callers`, of: series[0] },
                    { what: 'Charges per second of one key, divided by those of better-auth', of: overBetterAuth },
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
