import type { AuditEntry } from '@keymeter/contract'
import type { ReactNode } from 'react'
import { writtenAddress } from '../auth/written-address.ts'
import { currentSession } from '../call/session.ts'
import { KeyName } from '../keys/key-name.tsx'
import { formatMoment } from '../ui/format.ts'
import { Moment } from '../ui/moment.tsx'
import { isolated, UserText } from '../ui/user-text.tsx'
import { describeClient } from './describe-client.ts'
import { describeEntry } from './describe-entry.tsx'

/** Names who made the change. The address of a member is missing after the user was deleted. */
function describeActor({ actor, member }: AuditEntry): ReactNode {
  switch (actor) {
    case 'operator':
      return 'By the operator'
    case 'system':
      return 'Automatically'
    case 'member':
      if (member?.id === currentSession()?.user.id) return 'By you'
      if (member?.email == null) return 'By a former member'
      return (
        <>
          By <UserText>{writtenAddress(member.email)}</UserText>
        </>
      )
  }
}

export function ActivityEntry({ entry }: { entry: AuditEntry }) {
  const { keyId, keyName, keyPrefix, clientAddress, userAgent, requestId, createdAt } = entry
  return (
    <li className="grid gap-1 border-line px-4 py-3 text-sm not-last:border-b">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <p className="min-w-0 wrap-anywhere">
          <span className="font-medium">{describeEntry(entry)}</span>
          {keyId !== null && (
            <span className="text-ink-soft">
              {' · '}
              <KeyName name={keyName} />
            </span>
          )}
        </p>
        <span className="text-ink-soft">
          <Moment iso={createdAt} /> · {formatMoment(createdAt)}
        </span>
      </div>
      <div className="flex flex-wrap items-baseline gap-x-4 text-xs text-ink-soft">
        <p className="wrap-anywhere">
          {keyPrefix !== null && `${keyPrefix}… · `}
          {describeActor(entry)}
          {clientAddress !== null && ` from ${clientAddress}`}
          {userAgent && (
            <>
              {' · '}
              <span title={isolated(userAgent)}>
                <UserText>{describeClient(userAgent)}</UserText>
              </span>
            </>
          )}
        </p>
        {requestId !== null && (
          <details>
            <summary className="min-h-6 w-fit cursor-pointer">Request id</summary>
            <code className="wrap-anywhere">
              <UserText>{requestId}</UserText>
            </code>
          </details>
        )}
      </div>
    </li>
  )
}
