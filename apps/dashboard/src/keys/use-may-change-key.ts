import type { Key } from '@keymeter/contract'
import { useAccess } from '../account/current-account.ts'
import { useSession } from '../call/session.ts'

/** Returns true if the person may change the key. All calls that change a key need the same role. */
export function useMayChangeKey({ createdBy, isService }: Pick<Key, 'createdBy' | 'isService'>): boolean {
  const access = useAccess('keys.update')
  const userId = useSession()?.user.id
  return access === 'yes' || (access === 'own keys' && !isService && createdBy?.id === userId)
}
