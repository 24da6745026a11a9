import { inAccount, type Scope } from '@keymeter/api/server'
import { contextOf, signedIn } from '@keymeter/api/testing'
import type { CompiledQuery, KyselyPlugin } from 'kysely'
import type { Database } from './cluster.ts'
import { median } from './measure.ts'

/** One run takes a fraction of a millisecond. */
const RUNS = 50

type Caller = Awaited<ReturnType<typeof signedIn>>
type Origin = Parameters<typeof inAccount>[0]

/**
 * Makes a call as the user, then explains the queries that it sent, as the server's role under row level security. Returns
 * the milliseconds of planning and execution: the median of the runs, each the sum of all queries.
 *
 * @param only counts only the queries that contain this text.
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
  await call(await signedIn(captured, userId), { ...contextOf(captured, null), userId })
  // Every transaction of a call begins with this. It is not one of the operation's own queries.
  const queries = sent.filter(({ sql }) => sql.includes(only) && !sql.includes("set_config('app.user_id'"))
  if (queries.length === 0) throw new Error(`the call sent no query that contains "${only}"`)
  return await inAccount({ ...contextOf(database, null), userId }, 'read only', async (scope) => {
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
