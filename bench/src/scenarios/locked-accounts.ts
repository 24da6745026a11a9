import { signedIn } from '@keymeter/api/testing'
import { createDb, type Db } from '@keymeter/db'
import type { Key } from '../accounts.ts'
import type { Cluster, Database } from '../cluster.ts'
import { createEngine, type Engine } from '../engine.ts'
import { assertNothingLost } from '../invariants.ts'
import { alternate, closedLoop, type Effort, type Finding, type Rival, ratio, type Series } from '../measure.ts'

const EDITORS = 40
const CHARGERS = 4
/** The number of connections that a server process has for charges. */
const METERING_CONNECTIONS = 8
/** The number of connections that a server process has for all other calls. */
const CONNECTIONS = 10
const CALLERS = 64
const TARGET_BESIDE_EDITS = 1.5

/** Measures how long a charge takes while another user edits keys and charges at the same time. */
export async function besideEdits(cluster: Cluster, effort: Effort): Promise<Finding> {
  const [bystander, user, other] = cluster.accounts.keys
  if (bystander === undefined || user === undefined || other === undefined) throw new Error('there are too few accounts')
  return await cluster.withDatabases(['ours'], async ({ ours }) => {
    const [db, meteringDb] = [open(ours, CONNECTIONS), open(ours, METERING_CONNECTIONS)]
    try {
      const engine = createEngine(meteringDb)
      const edit = await createEditor(db, user)
      const p95: Record<string, number[]> = {}
      const rival = (name: string, loads: (seconds: number) => Promise<unknown>[]): Rival => ({
        name,
        run: async (seconds) => {
          const running = loads(seconds)
          const { p50Ms, p95Ms } = await engine.charge(1, seconds, [bystander])
          p95[name] = [...(p95[name] ?? []), p95Ms]
          await Promise.all(running)
          return p50Ms
        },
      })
      const editing = (seconds: number) => closedLoop(EDITORS, seconds, edit)
      const p50 = await alternate(
        [
          rival('no other user', () => []),
          rival('another user edits and charges one account', (seconds) => [
            editing(seconds),
            engine.charge(CHARGERS, seconds, [user]),
          ]),
          rival('another user edits one account and charges a second one', (seconds) => [
            editing(seconds),
            engine.charge(CHARGERS, seconds, [other]),
          ]),
        ],
        'ms',
        effort,
        cluster.checkpoint,
      )
      await assertNothingLost(ours, engine.charges)
      const p95Series = p50.map(({ name }): Series => ({ name: `${name}, p95`, unit: 'ms', values: p95[name] ?? [] }))
      const [alone, locked, unlocked] = p50
      const [alone95, locked95, unlocked95] = p95Series
      const target = { at: 'most', value: TARGET_BESIDE_EDITS } as const
      return {
        title: 'A charge beside the edits of another user',
        what: `One caller charges one account. At the same time, another user changes a key with ${EDITORS} parallel calls and charges with ${CHARGERS} callers. All calls run in one process. If the user edits one account and charges a second one, no charge meets a lock, so the difference is the effect of the locks.`,
        series: [...p50.map((one) => ({ ...one, name: `${one.name}, p50` })), ...p95Series],
        ratios: [
          ratio('p50, edits and charges of one account / no other user', locked, alone, target),
          ratio('p95, edits and charges of one account / no other user', locked95, alone95, target),
          ratio('p50, edits and charges of one account / of two accounts', locked, unlocked, target),
          ratio('p95, edits and charges of one account / of two accounts', locked95, unlocked95, target),
        ],
        notes: [],
      }
    } finally {
      await Promise.all([db.destroy(), meteringDb.destroy()])
    }
  })
}

/** Compares one charge engine with two charge engines that charge the same accounts, like two server processes. */
export async function twoProcesses(cluster: Cluster, effort: Effort): Promise<Finding> {
  const { keys } = cluster.accounts
  return await cluster.withDatabases(['ours'], async ({ ours }) => {
    const pools = [open(ours, METERING_CONNECTIONS), open(ours, METERING_CONNECTIONS), open(ours, METERING_CONNECTIONS)]
    try {
      const [alone, ...both] = pools.map((db) => createEngine(db))
      if (alone === undefined) throw new Error('there is no engine')
      const perSecond = async (engines: Engine[], seconds: number, charged: readonly Key[]) => {
        const runs = engines.map(async (engine) => await engine.charge(CALLERS / engines.length, seconds, charged))
        return (await Promise.all(runs)).reduce((sum, run) => sum + run.perSecond, 0)
      }
      const series: Series[] = []
      for (const [name, charged] of [
        ['1 account', keys.slice(0, 1)],
        [`${keys.length} accounts`, keys],
      ] as const)
        series.push(
          ...(await alternate(
            [
              { name: `one process, ${name}`, run: async (seconds) => await perSecond([alone], seconds, charged) },
              { name: `two processes, ${name}`, run: async (seconds) => await perSecond(both, seconds, charged) },
            ],
            '/s',
            effort,
            cluster.checkpoint,
          )),
        )
      await assertNothingLost(
        ours,
        [alone, ...both].reduce((sum, { charges }) => sum + charges, 0),
      )
      return {
        title: 'Two processes that charge the same accounts',
        what: `${CALLERS} callers charge through one engine, or through two engines with ${CALLERS / 2} callers each. Two engines have separate connection pools and know nothing of each other, like two server processes. They run in one Node process.`,
        series,
        ratios: [
          ratio('two processes / one process, 1 account', series[1], series[0]),
          ratio(`two processes / one process, ${keys.length} accounts`, series[3], series[2]),
        ],
        notes: [],
      }
    } finally {
      await Promise.all(pools.map(async (db) => await db.destroy()))
    }
  })
}

function open({ urls }: Database, connectionsMax: number): Db {
  return createDb(urls.api, () => {}, { connectionsMax })
}

/** Returns a function that renames the user's key through the router. */
async function createEditor(db: Db, { userId }: Key): Promise<() => Promise<unknown>> {
  const caller = await signedIn({ db }, userId)
  const [key] = (await caller.keys.list()).data
  if (key === undefined) throw new Error('the account has no key')
  let edits = 0
  return async () => await caller.keys.update({ id: key.id, name: `name ${edits++}` })
}
