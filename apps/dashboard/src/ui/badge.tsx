import type { ReactNode } from 'react'

const TONES = {
  accent: 'bg-accent-soft text-accent',
  warm: 'bg-prod-soft text-prod',
  danger: 'bg-danger-soft text-danger',
  plain: 'bg-raised text-ink-soft',
} as const

export function Badge({ tone, title, children }: { tone: keyof typeof TONES; title?: string; children: ReactNode }) {
  return (
    <span title={title} className={`shrink-0 whitespace-nowrap rounded-md px-1.5 py-0.5 text-xs font-medium ${TONES[tone]}`}>
      {children}
    </span>
  )
}
