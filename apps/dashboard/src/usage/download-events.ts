import type { ErrorData } from '@keymeter/api'
import type { UsageEventFilters } from '@keymeter/contract'
import { currentAccountId } from '../account/current-account.ts'
import { type CallError, passingOf } from '../call/call-error.ts'
import { accessToken, endExpiredSession } from '../call/session.ts'

interface DownloadOptions {
  signal: AbortSignal
  /** Called with the number of bytes received so far. */
  onProgress: (bytes: number) => void
}

/**
 * A file that the user chose. Some browsers have functions that write to such a file and remove it. TypeScript's types do not
 * contain these functions.
 */
type SavedFile = FileSystemFileHandle & { remove?: () => Promise<void> }
interface SavingWindow {
  showSaveFilePicker?: (options: { suggestedName: string; types: unknown[] }) => Promise<SavedFile>
}

/**
 * Saves the matching events as a CSV file. If the browser lets the page write to a file, the events are written while they
 * arrive. Otherwise, the file is saved after all events have arrived. A partial file is never kept. The access token is sent in
 * a header, so a plain link cannot start this download.
 *
 * @returns the number of saved bytes, null if the user cancelled, or the error.
 */
export async function downloadEvents(filters: UsageEventFilters, options: DownloadOptions): Promise<number | CallError | null> {
  const account = currentAccountId()
  const name = `keymeter-usage-${new Date().toISOString().slice(0, 10)}.csv`
  let file: SavedFile | undefined
  let outcome: number | CallError | null
  try {
    // Ask for the file first, because a browser shows its file dialog only shortly after a click.
    file = await (window as SavingWindow).showSaveFilePicker?.({
      suggestedName: name,
      types: [{ description: 'CSV', accept: { 'text/csv': ['.csv'] } }],
    })
    outcome = await save(filters, account, file, name, options)
  } catch (error) {
    outcome = faultOf(error)
  }
  // The browser has created an empty file when the user chose it. Remove this file. Some browsers cannot do this.
  if (typeof outcome !== 'number') await file?.remove?.().catch(() => {})
  return outcome
}

async function save(
  filters: UsageEventFilters,
  account: string | null,
  file: SavedFile | undefined,
  name: string,
  { signal, onProgress }: DownloadOptions,
): Promise<number | CallError> {
  let bytes = 0
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      bytes += chunk.length
      onProgress(bytes)
      controller.enqueue(chunk)
    },
  })
  const authorization = `Bearer ${await accessToken()}`
  const headers = { authorization, ...(account !== null && { 'x-keymeter-account': account }) }
  const response = await fetch(`/export/usage.csv?${queryOf(filters)}`, { headers, signal })
  if (response.status === 401) await endExpiredSession(authorization)
  if (!response.ok || response.body === null) return await refusalOf(response)
  const counted = response.body.pipeThrough(counting)
  if (file === undefined) saveBlob(await new Response(counted).blob(), name)
  else await counted.pipeTo(await file.createWritable(), { signal })
  return bytes
}

function queryOf(filters: UsageEventFilters): URLSearchParams {
  const all = Object.entries(filters).flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, one]))
  return new URLSearchParams(all)
}

/** Returns null if the user cancelled. A cancellation or a file error is a DOMException. A network error is not. */
function faultOf(error: unknown): CallError | null {
  const isOfFile = error instanceof DOMException
  if (isOfFile && error.name === 'AbortError') return null
  const message = isOfFile
    ? 'The file could not be written, and nothing was saved. Check the free disk space, and that the browser may write there.'
    : 'The export was interrupted, and nothing was saved. Check your connection and try again.'
  return { message, requestId: null, issues: [], isPassing: true, retryAfterMs: 0, isPerhapsDone: false }
}

async function refusalOf(response: Response): Promise<CallError> {
  const { error } = (await response.json()) as { error: { message: string; data: ErrorData } }
  return {
    message: error.message,
    requestId: error.data.requestId,
    issues: error.data.issues,
    ...passingOf(error.data),
  }
}

function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob.slice(0, blob.size, 'text/csv'))
  link.download = name
  link.click()
  // Some browsers save nothing if the URL is revoked before they have read the events.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
