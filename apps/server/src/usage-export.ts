import { type ApiDeps, accountOfCall, errorAnswer, exportUsage } from '@keymeter/api/server'
import { UsageEventFilters } from '@keymeter/contract'
import { getTRPCErrorFromUnknown, TRPCError } from '@trpc/server'
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { HttpEnv } from './http-env.ts'
import { logError } from './log-error.ts'
import { retryAfter } from './retry-after.ts'

export const EXPORT_PATH = '/export/usage.csv'

/**
 * Excel reads a CSV file as UTF-8 only if the file begins with these bytes. Otherwise it shows `Ünïcode` as `ÃœnÃ¯code`. The
 * server sends them, so that the file is right no matter whether the dashboard or curl saves it.
 */
const BYTE_ORDER_MARK = '\uFEFF'

type Call = Omit<Parameters<typeof exportUsage>[0], 'userId' | 'by'> &
  Pick<ApiDeps, 'verifyAccessToken' | 'checkSession'> & { authorization: string | null; account: string | null }

/**
 * Streams the usage events of the caller's account as a CSV file in UTF-8, with a byte order mark. The query string contains the filters of `usage.events`. The
 * access token must be in the `authorization` header, because URLs are logged. The session of the token must still exist, because
 * an export contains all usage events of the account.
 *
 * The server reads the next events from the database only after the client has read the previous ones. It stops reading when
 * the client disconnects.
 */
export async function serveUsageExport(call: Call, c: Context<HttpEnv>): Promise<Response> {
  try {
    const caller = await call.verifyAccessToken(call.authorization)
    await call.checkSession(call.authorization, caller.userId)
    const by = { caller, call: 'export.usage' as const }
    const lines = exportUsage({ ...call, userId: accountOfCall(call, caller), by }, parseFilters(c.req.queries()))
    // The first line is the CSV header, which needs no database. The second line needs the database. Both lines are read before
    // the response starts, so that the client gets an error response if the database fails.
    const chunks = [BYTE_ORDER_MARK, (await lines.next()).value, (await lines.next()).value]
    c.header('content-type', 'text/csv; charset=utf-8; header=present')
    c.header('content-disposition', `attachment; filename="keymeter-usage-${new Date().toISOString().slice(0, 10)}.csv"`)
    return c.body(streamOf(chunks, lines, (error) => breakOff(c, error)))
  } catch (error) {
    const refusal = getTRPCErrorFromUnknown(error)
    logError(c.get('callLog'), refusal, { path: EXPORT_PATH, type: 'export' })
    const answer = errorAnswer(refusal)
    return c.json(answer, answer.error.data.httpStatus as ContentfulStatusCode, retryAfter([answer.error.data]))
  }
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

/** Returns a stream that produces the next chunk only when the client reads, so that chunks do not fill the memory. */
function streamOf(first: unknown[], lines: AsyncGenerator<string>, onError: (error: unknown) => void) {
  const utf8 = new TextEncoder()
  const chunks = first.filter((chunk) => typeof chunk === 'string')
  let isAwaited = true
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const chunk = chunks.shift() ?? (await lines.next()).value
          if (!isAwaited) return
          if (typeof chunk === 'string') controller.enqueue(utf8.encode(chunk))
          else controller.close()
        } catch (error) {
          if (isAwaited) onError(error)
        }
      },
      cancel: async () => {
        isAwaited = false
        await lines.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

/**
 * Cuts the connection before the regular end of the response. Otherwise the client would believe that the partial file is
 * complete.
 */
function breakOff(c: Context<HttpEnv>, error: unknown): void {
  logError(c.get('callLog'), getTRPCErrorFromUnknown(error), { path: EXPORT_PATH, type: 'export' })
  c.env.outgoing.destroy()
}
