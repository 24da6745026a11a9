import { type ApiDeps, accountOfCall, errorAnswer, type exportAccount } from '@keymeter/api/server'
import { getTRPCErrorFromUnknown } from '@trpc/server'
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { HttpEnv } from './http-env.ts'
import { logError } from './log-error.ts'
import { retryAfter } from './retry-after.ts'

type Call = Parameters<typeof exportAccount>[0]
type By = NonNullable<Call['by']>

/** A request for an export. Its access token is not verified yet. */
export type ExportRequest = Omit<Call, 'userId' | 'by'> &
  Pick<ApiDeps, 'verifyAccessToken' | 'checkSession'> & { authorization: string | null; account: string | null }

interface Export {
  call: By['call']
  /** The file as it is sent. Its first two chunks are read before the response starts. */
  chunks: (call: Call) => AsyncGenerator<string>
  contentType: string
  /** The name of the file, e.g. `keymeter-usage-2027-01-31.csv`, without the date and the extension. */
  name: string
  extension: string
}

/**
 * Streams an export of the caller's account. The access token must be in the `authorization` header, because URLs are logged. The session
 * of the token must still exist, because an export contains much data of the account.
 *
 * The server reads the next rows from the database only after the client has read the previous ones. It stops reading when
 * the client disconnects.
 */
export async function serveExport(
  request: ExportRequest,
  c: Context<HttpEnv>,
  { call, chunks: chunksOf, contentType, name, extension }: Export,
): Promise<Response> {
  try {
    const caller = await request.verifyAccessToken(request.authorization)
    await request.checkSession(request.authorization, caller.userId)
    const chunks = chunksOf({ ...request, userId: accountOfCall(request, caller), by: { caller, call } })
    // These chunks need the database. They are read before the response starts, so that the client gets an error response if the
    // call is refused or the database fails.
    const first = [(await chunks.next()).value, (await chunks.next()).value]
    c.header('content-type', contentType)
    c.header('content-disposition', `attachment; filename="${name}-${new Date().toISOString().slice(0, 10)}.${extension}"`)
    return c.body(streamOf(first, chunks, (error) => breakOff(c, error)))
  } catch (error) {
    const refusal = getTRPCErrorFromUnknown(error)
    logError(c.get('callLog'), refusal, { path: c.req.path, type: 'export' })
    const answer = errorAnswer(refusal)
    return c.json(answer, answer.error.data.httpStatus as ContentfulStatusCode, retryAfter([answer.error.data]))
  }
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
  logError(c.get('callLog'), getTRPCErrorFromUnknown(error), { path: c.req.path, type: 'export' })
  c.env.outgoing.destroy()
}
