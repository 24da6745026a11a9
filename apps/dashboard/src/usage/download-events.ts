import type { Issue, UsageEventFilters } from '@keymeter/contract'
import type { CallError } from '../call/call-error.ts'
import { accessToken, endExpiredSession } from '../call/session.ts'

interface DownloadOptions {
  signal: AbortSignal
  /** Told how many bytes have come so far. */
  onProgress: (bytes: number) => void
}

/** What some browsers can, and TypeScript does not know: a page writes to a file which the reader chose, and removes it. */
type SavedFile = FileSystemFileHandle & { remove?: () => Promise<void> }
interface SavingWindow {
  showSaveFilePicker?: (options: { suggestedName: string; types: unknown[] }) => Promise<SavedFile>
}

/**
 * Saves the events that match as a CSV file: to disk as they come, where the browser can, or else when all are there. The
 * token goes in a header, which a link could not send. Half a file is never kept.
 *
 * @returns how many bytes were saved, null when the reader thought better of it, or what went wrong.
 */
export async function downloadEvents(filters: UsageEventFilters, options: DownloadOptions): Promise<number | CallError | null> {
  const name = `keymeter-usage-${new Date().toISOString().slice(0, 10)}.csv`
  let file: SavedFile | undefined
  let outcome: number | CallError | null
  try {
    // Asked for first: a browser shows the dialog for a moment after a click alone.
    file = await (window as SavingWindow).showSaveFilePicker?.({
      suggestedName: name,
      types: [{ description: 'CSV', accept: { 'text/csv': ['.csv'] } }],
    })
    outcome = await save(filters, file, name, options)
  } catch (error) {
    outcome = faultOf(error)
  }
  // Once chosen it is there, and empty. Where the browser cannot remove it, it stays so.
  if (typeof outcome !== 'number') await file?.remove?.().catch(() => {})
  return outcome
}

async function save(
  filters: UsageEventFilters,
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
  const response = await fetch(`/export/usage.csv?${queryOf(filters)}`, { headers: { authorization }, signal })
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

/** What the browser says of a file is a DOMException; what breaks off underway is none. */
function faultOf(error: unknown): CallError | null {
  const isOfFile = error instanceof DOMException
  if (isOfFile && error.name === 'AbortError') return null
  const message = isOfFile
    ? 'The file could not be written, and nothing was saved. Check that there is room, and that the browser may write there.'
    : 'The export broke off, and nothing was saved. Check your connection and try again.'
  return { message, requestId: null, issues: [], isPassing: true }
}

async function refusalOf(response: Response): Promise<CallError> {
  const { error } = (await response.json()) as { error: { message: string; data: { requestId: string; issues: Issue[] } } }
  return {
    message: error.message,
    requestId: error.data.requestId,
    issues: error.data.issues,
    isPassing: response.status >= 500,
  }
}

function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob.slice(0, blob.size, 'text/csv'))
  link.download = name
  link.click()
  // The browser has it by then; sooner, some would save nothing.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
