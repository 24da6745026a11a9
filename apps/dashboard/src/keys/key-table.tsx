import type { KeyWithUsage } from '@keymeter/contract'
import { Trash2 } from 'lucide-react'
import { useState } from 'react'
import { formatCredits } from '../format.ts'
import { Button } from '../ui/button.tsx'
import { Moment } from '../ui/moment.tsx'
import { RevokeKeyDialog } from './revoke-key-dialog.tsx'

export function KeyTable({ keys }: { keys: KeyWithUsage[] }) {
  const [revoking, setRevoking] = useState<KeyWithUsage | null>(null)
  return (
    <div className="overflow-hidden rounded-2xl border border-line bg-surface">
      <table className="w-full text-left text-sm">
        <thead className="border-b border-line text-ink-soft">
          <tr>
            <Heading>Key</Heading>
            <Heading className="hidden md:table-cell">Created</Heading>
            <Heading className="hidden md:table-cell">Last used</Heading>
            <Heading className="text-right">
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
            <KeyRow key={key.id} apiKey={key} onRevoke={() => setRevoking(key)} />
          ))}
        </tbody>
      </table>
      <RevokeKeyDialog apiKey={revoking} onClose={() => setRevoking(null)} />
    </div>
  )
}

function Heading({ className = '', ...props }: React.ComponentProps<'th'>) {
  return <th scope="col" className={`px-4 py-3 font-medium ${className}`} {...props} />
}

function KeyRow({ apiKey, onRevoke }: { apiKey: KeyWithUsage; onRevoke: () => void }) {
  const lastUsed = apiKey.lastUsedAt === null ? 'Never used' : <Moment iso={apiKey.lastUsedAt} />
  return (
    <tr className="border-line not-last:border-b align-middle">
      <td className="w-full max-w-0 px-4 py-3 md:w-auto md:max-w-80">
        <div className="flex min-w-0 items-center gap-2">
          <span className="truncate font-medium" title={apiKey.name}>
            {apiKey.name}
          </span>
          <TypeBadge type={apiKey.keyType} />
        </div>
        <code className="block truncate font-mono text-xs text-ink-soft">{apiKey.keyPrefix}…</code>
        <div className="text-xs text-ink-soft md:hidden">
          Created <Moment iso={apiKey.createdAt} /> · {lastUsed}
        </div>
      </td>
      <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft md:table-cell">
        <Moment iso={apiKey.createdAt} />
      </td>
      <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft md:table-cell">{lastUsed}</td>
      <td className="figures px-4 py-3 text-right font-medium">{formatCredits(apiKey.creditsUsed)}</td>
      <td className="py-3 pr-3 text-right">
        <Button variant="quiet" className="px-3" aria-label={`Revoke ${apiKey.name}`} onClick={onRevoke}>
          <Trash2 className="size-4 sm:hidden" aria-hidden="true" />
          <span className="hidden sm:inline">Revoke</span>
        </Button>
      </td>
    </tr>
  )
}

const TYPE_STYLES = { dev: 'bg-accent-soft text-accent', prod: 'bg-prod-soft text-prod' } as const

function TypeBadge({ type }: { type: KeyWithUsage['keyType'] }) {
  return <span className={`shrink-0 rounded-md px-1.5 py-0.5 text-xs font-medium ${TYPE_STYLES[type]}`}>{type}</span>
}

const SKELETON_ROWS = ['first', 'second', 'third']

/** The table's own geometry, so that nothing moves when it comes. */
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
