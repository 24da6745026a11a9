import type { Key } from '@keymeter/contract'
import { Moment } from '../ui/moment.tsx'
import { isInUse } from './is-in-use.ts'

/** Warns before an action that stops calls with a key. Shows nothing if the key is not in use. */
export function InUseWarning({ apiKey }: { apiKey: Pick<Key, 'status' | 'lastUsedAt'> }) {
  if (apiKey.lastUsedAt === null || !isInUse(apiKey)) return null
  return (
    <p className="font-medium text-danger">
      This key is in use: it was last used <Moment iso={apiKey.lastUsedAt} />.
    </p>
  )
}
