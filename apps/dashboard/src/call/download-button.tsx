import { useEffect, useRef, useState } from 'react'
import { Button } from '../ui/button.tsx'
import { announce } from '../ui/toasts.tsx'
import type { CallError } from './call-error.ts'
import { download, type ExportedFile } from './download.ts'
import { ErrorNotice } from './error-notice.tsx'

const PROGRESS_INTERVAL_MS = 200

type Progress = { state: 'idle' } | { state: 'running'; bytes: number } | { state: 'failed'; error: CallError }

interface DownloadButtonProps {
  label: string
  file: ExportedFile
  isReady?: boolean
  /** The side of the page on which the button is. The progress is on the other side of the button. */
  side?: 'left' | 'right'
}

/** A button that saves an export of the account, with its progress beside it. */
export function DownloadButton({ label, file, isReady = true, side = 'left' }: DownloadButtonProps) {
  const [progress, setProgress] = useState<Progress>({ state: 'idle' })
  const leaving = useRef<AbortController | null>(null)
  useEffect(() => () => leaving.current?.abort(), [])
  const start = async () => {
    const controller = new AbortController()
    leaving.current = controller
    let shownAt = 0
    setProgress({ state: 'running', bytes: 0 })
    const onProgress = (bytes: number) => {
      if (performance.now() - shownAt < PROGRESS_INTERVAL_MS) return
      shownAt = performance.now()
      setProgress({ state: 'running', bytes })
    }
    const outcome = await download(file, { signal: controller.signal, onProgress })
    // If the file could not be written, the request is still running. Abort the request, because nothing reads its response any
    // more.
    controller.abort()
    if (outcome === null) setProgress({ state: 'idle' })
    else if (typeof outcome !== 'number') setProgress({ state: 'failed', error: outcome })
    else {
      setProgress({ state: 'idle' })
      announce(`The file is saved: ${formatBytes(outcome)}.`)
    }
  }
  const isRunning = progress.state === 'running'
  return (
    <>
      <div className={`flex items-center gap-3 ${side === 'right' ? 'flex-row-reverse' : ''}`}>
        {/* One button starts and cancels the export, so that it keeps the focus. */}
        <Button variant="secondary" disabled={!isReady} onClick={isRunning ? () => leaving.current?.abort() : start}>
          {isRunning ? 'Cancel' : label}
        </Button>
        <span className="text-ink-soft text-sm">
          <span role="status">{isRunning && 'Exporting…'}</span>{' '}
          {isRunning && <span className="figures">{formatBytes(progress.bytes)}</span>}
        </span>
      </div>
      {progress.state === 'failed' && (
        <div className="basis-full">
          <ErrorNotice error={progress.error} />
        </div>
      )}
    </>
  )
}

function formatBytes(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}
