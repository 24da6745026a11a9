import type { KeyWithUsage } from '@keymeter/contract'
import type { JSX } from 'react'
import { Badge } from '../ui/badge.tsx'
import { formatCountdown, formatMoment } from '../ui/format.ts'
import { useMsUntil } from '../ui/use-ms-until.ts'

const EXPIRING_MS = 7 * 86_400_000

/** Shows why the key cannot be used, or when an active key expires soon. Otherwise shows nothing. */
export function KeyStatusBadge({ apiKey }: { apiKey: KeyWithUsage }): JSX.Element | null {
  const { status, revokedAt, disabledAt, expiresAt, creditLimit, creditsUsed } = apiKey
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
      return <Expired at={expiresAt} />
    case 'active':
      return (
        <>
          {creditLimit !== null && creditsUsed >= creditLimit && (
            <Badge tone="danger" title="Its charges are refused until the billing cycle ends or the limit is raised.">
              Limit reached
            </Badge>
          )}
          {expiresAt !== null && <ExpiryBadge expiresAt={expiresAt} />}
        </>
      )
  }
}

/** Counts down to the expiry, without a call to the server. */
function ExpiryBadge({ expiresAt }: { expiresAt: string }) {
  const left = useMsUntil(expiresAt)
  if (left <= 0) return <Expired at={expiresAt} />
  if (left >= EXPIRING_MS) return null
  return (
    <Badge tone="warm" title={formatMoment(expiresAt)}>
      Expires {formatCountdown(left)}
    </Badge>
  )
}

function Expired({ at }: { at: string | null }) {
  return (
    <Badge tone="danger" {...since(at)}>
      Expired
    </Badge>
  )
}

function since(iso: string | null) {
  return iso === null ? {} : { title: `Since ${formatMoment(iso)}` }
}
