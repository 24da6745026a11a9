import { exportUsage } from '@keymeter/api/server'
import { UsageEventFilters } from '@keymeter/contract'
import { TRPCError } from '@trpc/server'
import type { Context } from 'hono'
import type { HttpEnv } from './http-env.ts'
import { type ExportRequest, serveExport } from './serve-export.ts'

export const EXPORT_PATH = '/export/usage.csv'

/**
 * Excel reads a CSV file as UTF-8 only if the file begins with these bytes. Otherwise it shows `Ünïcode` as `ÃœnÃ¯code`. The
 * server sends them, so that the file is right no matter whether the dashboard or curl saves it.
 */
const BYTE_ORDER_MARK = '\uFEFF'

/**
 * Streams the usage events of the caller's account as a CSV file in UTF-8, with a byte order mark. The query string contains the
 * filters of `usage.events`.
 */
export async function serveUsageExport(request: ExportRequest, c: Context<HttpEnv>): Promise<Response> {
  return await serveExport(request, c, {
    call: 'export.usage',
    chunks: async function* (call) {
      let mark = BYTE_ORDER_MARK
      for await (const lines of exportUsage(call, parseFilters(c.req.queries()))) {
        yield mark + lines
        mark = ''
      }
    },
    contentType: 'text/csv; charset=utf-8; header=present',
    name: 'keymeter-usage',
    extension: 'csv',
  })
}

function parseFilters(query: Record<string, string[]>): UsageEventFilters {
  const fields = Object.entries(query).map(([name, values]) => [
    name,
    name === 'verdicts' || values.length > 1 ? values : values[0],
  ])
  const { data, error } = UsageEventFilters.safeParse(Object.fromEntries(fields))
  if (error) throw new TRPCError({ code: 'BAD_REQUEST', cause: error })
  return data
}
