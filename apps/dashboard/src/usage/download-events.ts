import type { Issue } from '@keymeter/contract'
import type { CallError } from '../app/call-error.ts'
import { accessToken, endExpiredSession } from '../auth/session.ts'

export interface EventFilters {
  keyId: string | undefined
  operation: string | undefined
  verdicts: string[] | undefined
}

interface DownloadOptions {
  signal: AbortSignal
  /** Told how many bytes have come so far. */
  onProgress: (bytes: number) => void
}

/** Of browsers that let a page write to a file which the reader chose; TypeScript does not know it. */
interface SavingWindow {
  showSaveFilePicker?: (options: { suggestedName: string; types: unknown[] }) => Promise<FileSystemFileHandle>
}

/**
 * Saves the events that match as a CSV file: to disk as they come, where the browser can, or else when all are there. The
 * token goes in a header, which a link could not send. Half a file is never kept.
 *
 * @returns how many bytes were saved, null when the reader thought better of it, or what went wrong.
 */
export async function downloadEvents(
  filters: EventFilters,
  { signal, onProgress }: DownloadOptions,
): Promise<number | CallError | null> {
  let bytes = 0
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      bytes += chunk.length
      onProgress(bytes)
      controller.enqueue(chunk)
    },
  })
  try {
    const name = `keymeter-usage-${new Date().toISOString().slice(0, 10)}.csv`
    // Asked for first: a browser shows the dialog for a moment after a click alone.
    const file = await (window as SavingWindow).showSaveFilePicker?.({
      suggestedName: name,
      types: [{ description: 'CSV', accept: { 'text/csv': ['.csv'] } }],
    })
    const authorization = `Bearer ${await accessToken()}`
    const response = await fetch(`/export/usage.csv?${queryOf(filters)}`, { headers: { authorization }, signal })
    if (response.status === 401) await endExpiredSession(authorization)
    if (!response.ok || response.body === null) return await refusalOf(response)
    const counted = response.body.pipeThrough(counting)
    if (file === undefined) saveBlob(await new Response(counted).blob(), name)
    else await counted.pipeTo(await file.createWritable(), { signal })
    return bytes
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null
    const message = 'The export broke off, and nothing was saved. Check your connection and try again.'
    return { message, requestId: null, issues: [], isPassing: true }
  }
}

function queryOf({ keyId, operation, verdicts = [] }: EventFilters): URLSearchParams {
  const query = new URLSearchParams()
  if (keyId !== undefined) query.set('keyId', keyId)
  if (operation !== undefined) query.set('operation', operation)
  for (const verdict of verdicts) query.append('verdicts', verdict)
  return query
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
