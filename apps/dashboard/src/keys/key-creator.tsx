import type { Key } from '@keymeter/contract'
import { writtenAddress } from '../auth/written-address.ts'
import { useSession } from '../call/session.ts'
import { UserText } from '../ui/user-text.tsx'

/** Shows to whom a key belongs, if it is not the person on the page. */
export function KeyCreator({ apiKey: { createdBy, isService } }: { apiKey: Pick<Key, 'createdBy' | 'isService'> }) {
  const userId = useSession()?.user.id
  if (isService) return <Line>Service account, belongs to no person</Line>
  if (createdBy === null || createdBy.id === userId) return null
  return (
    <Line>
      {createdBy.email === null ? (
        'Of a former member'
      ) : (
        <>
          Of <UserText>{writtenAddress(createdBy.email)}</UserText>
        </>
      )}
    </Line>
  )
}

function Line({ children }: { children: React.ReactNode }) {
  return <div className="truncate text-xs text-ink-soft">{children}</div>
}
