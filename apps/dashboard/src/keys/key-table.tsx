import type { KeyWithUsage } from '@keymeter/contract'
import { useState } from 'react'
import { DisableKeyDialog } from './disable-key-dialog.tsx'
import { EditKeyDialog } from './edit-key-dialog.tsx'
import { EndGraceDialog } from './end-grace-dialog.tsx'
import type { KeyDialog } from './key-dialog.ts'
import { KeyRow } from './key-row.tsx'
import { ReplaceLostSecretDialog } from './replace-lost-secret-dialog.tsx'
import { RevokeKeyDialog } from './revoke-key-dialog.tsx'
import { RotateKeyDialog } from './rotate-key-dialog.tsx'

const DIALOGS = {
  edit: EditKeyDialog,
  rotate: RotateKeyDialog,
  endGrace: EndGraceDialog,
  replaceLost: ReplaceLostSecretDialog,
  disable: DisableKeyDialog,
  revoke: RevokeKeyDialog,
} satisfies Record<KeyDialog, unknown>

export function KeyTable({ keys }: { keys: KeyWithUsage[] }) {
  /**
   * The dialog stays in the state after it is closed, so that it can fade out. `opening` counts how often a dialog was opened,
   * so that each opening starts with fresh state.
   */
  const [dialog, setDialog] = useState<{ kind: KeyDialog; key: KeyWithUsage; isOpen: boolean; opening: number } | null>(null)
  const OpenDialog = dialog && DIALOGS[dialog.kind]
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table className="w-full text-left text-sm">
        <thead className="border-b border-line text-ink-soft">
          <tr>
            <Heading>Key</Heading>
            <Heading className="hidden md:table-cell">Created</Heading>
            <Heading className="hidden md:table-cell">Last used</Heading>
            <Heading className="text-right max-sm:px-2">
              <span className="hidden sm:inline">Credits this cycle</span>
              <span className="sm:hidden">Credits</span>
            </Heading>
            <Heading>
              <span className="sr-only">Actions</span>
            </Heading>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <KeyRow
              key={key.id}
              apiKey={key}
              onDialog={(kind) => setDialog({ kind, key, isOpen: true, opening: (dialog?.opening ?? 0) + 1 })}
            />
          ))}
        </tbody>
      </table>
      {dialog && OpenDialog && (
        <OpenDialog
          key={dialog.opening}
          apiKey={dialog.key}
          isOpen={dialog.isOpen}
          onClose={() => setDialog({ ...dialog, isOpen: false })}
        />
      )}
    </div>
  )
}

function Heading({ className = '', ...props }: React.ComponentProps<'th'>) {
  return <th scope="col" className={`px-4 py-3 font-medium ${className}`} {...props} />
}

const SKELETON_ROWS = ['first', 'second', 'third']

/** A placeholder with the geometry of the table, so that nothing moves when the table appears. */
export function KeyTableSkeleton() {
  return (
    <div role="status" aria-label="Loading your keys" className="rounded-2xl border border-line bg-surface">
      {SKELETON_ROWS.map((row) => (
        <div key={row} className="flex items-center justify-between border-line px-4 py-4 not-last:border-b">
          <div className="grid gap-2">
            <div className="h-4 w-36 motion-safe:animate-pulse rounded bg-raised" />
            <div className="h-3 w-28 motion-safe:animate-pulse rounded bg-raised" />
          </div>
          <div className="h-4 w-16 motion-safe:animate-pulse rounded bg-raised" />
        </div>
      ))}
    </div>
  )
}
