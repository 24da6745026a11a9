import { type exportUsage, inAccount, type Scope } from '@keymeter/api/server'
import { contextOf, signedIn } from '@keymeter/api/testing'
import type { CompiledQuery, KyselyPlugin } from 'kysely'
import type { Database } from './cluster.ts'
import { median } from './measure.ts'

/** The queries are explained this many times. One run takes a fraction of a millisecond, which is too short to be accurate. */
const RUNS = 50

type Caller = Awaited<ReturnType<typeof signedIn>>
type Origin = Parameters<typeof exportUsage>[0]

/**
 * Makes a call as the user and records its queries. Then runs these queries several times with EXPLAIN ANALYZE, as the role of
 * Keymeter's server under row level security. Each run adds up the planning and execution time of all queries. Returns the
 * median of the runs in milliseconds.
 *
 * @param only If given, only queries that contain this text are measured.
 */
export async function explainCall(
  database: Database,
  userId: string,
  call: (caller: Caller, origin: Origin) => Promise<unknown>,
  only = '',
): Promise<number> {
  const sent: CompiledQuery[] = []
  const capture: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      sent.push(database.db.getExecutor().compileQuery(node, queryId))
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const captured = { db: database.db.withPlugin(capture) }
  await call(await signedIn(captured, userId), { ...contextOf(captured, null), userId, by: null })
  // Every transaction begins with keymeter.enter_account. This query is not measured.
  const queries = sent.filter(({ sql }) => sql.includes(only) && !sql.includes('keymeter.enter_account'))
  if (queries.length === 0) throw new Error(`the call sent no query that contains "${only}"`)
  return await inAccount({ ...contextOf(database, null), userId, by: null }, 'read only', async (scope) => {
    const times: number[] = []
    for (let run = 0; run < RUNS; run++) {
      let total = 0
      for (const query of queries) total += await explain(scope, query)
      times.push(total)
    }
    return median(times)
  })
}

async function explain({ db }: Scope, query: CompiledQuery): Promise<number> {
  const { rows } = await db.executeQuery<{ 'QUERY PLAN': { 'Planning Time': number; 'Execution Time': number }[] }>({
    ...query,
    sql: `explain (analyze, format json) ${query.sql}`,
  })
  const plan = rows[0]?.['QUERY PLAN'][0]
  return (plan?.['Planning Time'] ?? Number.NaN) + (plan?.['Execution Time'] ?? Number.NaN)
}
