import type { Key } from '@keymeter/contract'
import { describeCallError } from '../call/call-error.ts'
import { api, onAccount, queryClient } from '../call/trpc.ts'
import { announce } from '../ui/toasts.tsx'
import { announceEnabled } from './announce-enabled.tsx'
import { KeyName } from './key-name.tsx'

type DisabledKey = Pick<Key, 'id' | 'name' | 'keyPrefix'>

/**
 * Shows that the key is disabled, with a button that enables it again. The row of the key can be
 * filtered out by then. `accountId` is the account of the key: the page can show another one by then.
 */
export function announceDisabled(apiKey: DisabledKey, accountId: string | null): void {
  announce(
    <>
      The key <KeyName {...apiKey} /> is disabled.
    </>,
    () => void enableAgain(apiKey, accountId),
  )
}

async function enableAgain(apiKey: DisabledKey, accountId: string | null): Promise<void> {
  try {
    await api.keys.enable.mutate({ id: apiKey.id }, onAccount(accountId))
    announceEnabled(apiKey)
  } catch (error) {
    announce(
      <>
        The key <KeyName {...apiKey} /> is still disabled. {describeCallError(error).message}
      </>,
    )
  }
  await queryClient.invalidateQueries()
}
