import type { ReactNode } from 'react'
import { Notice } from '../ui/notice.tsx'
import type { CallError } from './call-error.ts'

/** Shows what went wrong, and the request id, which the user quotes to get help. */
export function ErrorNotice({ error, children }: { error: CallError; children?: ReactNode }) {
  return (
    <Notice tone="danger">
      <p>{error.message}</p>
      {error.requestId !== null && (
        <p className="mt-1 break-all text-xs">
          Request id: <code>{error.requestId}</code>
        </p>
      )}
      {children && <div className="mt-3">{children}</div>}
    </Notice>
  )
}
