import type { Key } from '@keymeter/contract'
import { announce } from '../ui/toasts.tsx'
import { KeyName } from './key-name.tsx'

export function announceEnabled(apiKey: Pick<Key, 'name' | 'keyPrefix'>): void {
  announce(
    <>
      The key <KeyName {...apiKey} /> is enabled.
    </>,
  )
}
