import type { ReactNode } from 'react'

const TONES = {
  danger: 'border-danger/40 bg-danger-soft text-danger',
  plain: 'border-line bg-raised text-ink',
} as const

/** A message that screen readers read when it appears. */
export function Notice({ tone = 'plain', children }: { tone?: keyof typeof TONES; children: ReactNode }) {
  return (
    <div role={tone === 'danger' ? 'alert' : 'status'} className={`rounded-lg border px-4 py-3 text-sm ${TONES[tone]}`}>
      {children}
    </div>
  )
}
