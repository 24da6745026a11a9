import type { ReactNode } from 'react'
import type { CallError } from '../app/call-error.ts'

const TONES = {
  danger: 'border-danger/40 bg-danger-soft text-danger',
  plain: 'border-line bg-raised text-ink',
} as const

/** Something that a person should know, read out when it appears. */
export function Notice({ tone = 'plain', children }: { tone?: keyof typeof TONES; children: ReactNode }) {
  return (
    <div role={tone === 'danger' ? 'alert' : 'status'} className={`rounded-lg border px-4 py-3 text-sm ${TONES[tone]}`}>
      {children}
    </div>
  )
}

/** A failed call: what happened, and the id to quote when asking for help. */
export function ErrorNotice({ error, children }: { error: CallError; children?: ReactNode }) {
  return (
    <Notice tone="danger">
      <p>{error.message}</p>
      {error.requestId !== null && (
        <p className="mt-1 break-all text-xs">
          Request id: <code>{error.requestId}</code>
        </p>
      )}
      {children !== undefined && <div className="mt-3">{children}</div>}
    </Notice>
  )
}
