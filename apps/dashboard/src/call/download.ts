import type { ErrorData } from '@keymeter/api'
import { currentAccountId } from '../account/current-account.ts'
import { type CallError, describeCallError, passingOf } from './call-error.ts'
import { accessToken, endExpiredSession, SessionEndedError } from './session.ts'

/** A file that the server makes. */
export interface ExportedFile {
  /** The path of the export, with its query. */
  path: string
  /** The name of the file, without the date and the extension. */
  name: string
  extension: string
  contentType: string
}

export interface DownloadOptions {
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
 * Saves an export of the account as a file. If the browser lets the page write to a file, the data is written while it
 * arrives. Otherwise, the file is saved after everything has arrived. A partial file is never kept. The access token is sent in
 * a header, so a plain link cannot start this download.
 *
 * @returns the number of saved bytes, null if the user cancelled, or the error.
 */
export async function download(exported: ExportedFile, options: DownloadOptions): Promise<number | CallError | null> {
  const account = currentAccountId()
  const name = `${exported.name}-${new Date().toISOString().slice(0, 10)}.${exported.extension}`
  let file: SavedFile | undefined
  let outcome: number | CallError | null
  try {
    // Ask for the file first, because a browser shows its file dialog only shortly after a click.
    file = await (window as SavingWindow).showSaveFilePicker?.({
      suggestedName: name,
      types: [
        { description: exported.extension.toUpperCase(), accept: { [exported.contentType]: [`.${exported.extension}`] } },
      ],
    })
    outcome = await save(exported, account, file, name, options)
  } catch (error) {
    outcome = faultOf(error)
  }
  // The browser has created an empty file when the user chose it. Remove this file. Some browsers cannot do this.
  if (typeof outcome !== 'number') await file?.remove?.().catch(() => {})
  return outcome
}

async function save(
  { path, contentType }: ExportedFile,
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
  const response = await fetch(path, { headers, signal })
  if (response.status === 401) await endExpiredSession(authorization)
  if (!response.ok || response.body === null) return await refusalOf(response)
  const counted = response.body.pipeThrough(counting)
  if (file === undefined) saveBlob(await new Response(counted).blob(), name, contentType)
  else await counted.pipeTo(await file.createWritable(), { signal })
  return bytes
}

/** Returns null if the user cancelled. A cancellation or a file error is a DOMException. A network error is not. */
function faultOf(error: unknown): CallError | null {
  if (error instanceof SessionEndedError) return describeCallError(error)
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

function saveBlob(blob: Blob, name: string, contentType: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob.slice(0, blob.size, contentType))
  link.download = name
  link.click()
  // Some browsers save nothing if the URL is revoked before they have read the data.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
