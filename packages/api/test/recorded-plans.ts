import type { DB, Db } from '@keymeter/db'
import { withClient } from '@keymeter/local'
import type { TestDatabase } from '@keymeter/local/testing'
import { Kysely, PostgresDialect } from 'kysely'

/** A node of a query plan, as Postgres returns it with `explain (analyze, format json)`. */
interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  'Actual Rows'?: number
  'Actual Loops'?: number
  'Rows Removed by Filter'?: number
  Plans?: PlanNode[]
}

export interface RecordedStatement {
  sql: string
  /** All nodes of the query plan, with the root first. */
  nodes: PlanNode[]
}

/**
 * The oids of the types int8 and numeric. The connections of the product also parse these types, and the array types in
 * `ARRAYS`, as numbers.
 */
const NUMBERS = [20, 1700]
const ARRAYS = [1005, 1016]

/**
 * Runs `work` with the privileges of the server's role, or of the owner. Returns each executed statement with its query plan, in the order
 * in which the statements ended. The result includes the statements inside of SQL and PL/pgSQL functions, which `explain`
 * does not show. `work` has only one connection, so it must not run two transactions concurrently.
 */
export async function recordPlans(
  { urls }: Pick<TestDatabase, 'urls'>,
  work: (db: Db) => Promise<unknown>,
  role: 'keymeter_api' | 'postgres' = 'keymeter_api',
): Promise<RecordedStatement[]> {
  return await withClient(urls.superuser, async (client) => {
    const statements: RecordedStatement[] = []
    client.on('notice', ({ message = '' }) => {
      const [, json] = /^duration: [\d.]+ ms {2}plan:\n(\{.*)$/s.exec(message) ?? []
      if (json === undefined) return
      const explained: { 'Query Text': string; Plan: PlanNode } = JSON.parse(json)
      statements.push({ sql: explained['Query Text'], nodes: flatten(explained.Plan) })
    })
    for (const oid of NUMBERS) client.setTypeParser(oid, Number)
    for (const oid of ARRAYS) client.setTypeParser(oid, (text) => JSON.parse(text.replace('{', '[').replace('}', ']')))
    await client.query(`
      load 'auto_explain';
      set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_format = json;
      set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set client_min_messages = log;
      set session authorization ${role}`)
    const connection = { query: client.query.bind(client), release: () => {} }
    const pool = { connect: async () => connection, end: async () => {} }
    await work(new Kysely<DB>({ dialect: new PostgresDialect({ pool: pool as never }) }))
    return statements
  })
}

/**
 * Returns how many rows the scans of this table read, including the rows that a filter removed. The scans of its partitions
 * do not count.
 */
export function rowsRead(statements: RecordedStatement[], table: string): number {
  return statements
    .flatMap(({ nodes }) => nodes)
    .filter((node) => node['Relation Name'] === table)
    .reduce(
      (sum, node) => sum + ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 0),
      0,
    )
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}
