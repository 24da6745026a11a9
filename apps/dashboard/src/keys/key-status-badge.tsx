import type { KeyWithUsage } from '@keymeter/contract'
import type { JSX } from 'react'
import { Badge } from '../ui/badge.tsx'
import { formatMoment, formatRelative } from '../ui/format.ts'

const EXPIRING_MS = 7 * 86_400_000

/** Shows why the key cannot be used, or when an active key expires soon. Otherwise shows nothing. */
export function KeyStatusBadge({ apiKey }: { apiKey: KeyWithUsage }): JSX.Element | null {
  const { status, revokedAt, disabledAt, expiresAt } = apiKey
  switch (status) {
    case 'revoked':
      return (
        <Badge tone="danger" {...since(revokedAt)}>
          Revoked
        </Badge>
      )
    case 'disabled':
      return (
        <Badge tone="plain" {...since(disabledAt)}>
          Disabled
        </Badge>
      )
    case 'expired':
      return (
        <Badge tone="danger" {...since(expiresAt)}>
          Expired
        </Badge>
      )
    case 'active':
      return expiresAt !== null && Date.parse(expiresAt) - Date.now() < EXPIRING_MS ? (
        <Badge tone="warm" title={formatMoment(expiresAt)}>
          Expires {formatRelative(expiresAt)}
        </Badge>
      ) : null
  }
}

function since(iso: string | null) {
  return iso === null ? {} : { title: `Since ${formatMoment(iso)}` }
}
