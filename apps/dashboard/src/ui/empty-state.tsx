import type { ReactNode } from 'react'

/** A text in the place of a list that has no items. */
export function EmptyState({ children }: { children: ReactNode }) {
  return (
    <div
      role="status"
      className="grid justify-items-center gap-4 rounded-2xl border border-line border-dashed px-6 py-12 text-center text-ink-soft"
    >
      {children}
    </div>
  )
}
