import type { NewKey } from '@keymeter/contract'
import { useState } from 'react'
import { currentAccountId } from '../account/current-account.ts'
import { showSecret } from '../account/new-secret.ts'
import { describeCallError } from '../call/call-error.ts'
import { currentSession } from '../call/session.ts'
import { onAccount } from '../call/trpc.ts'

const IDEMPOTENCY_KEY_RANDOM_BYTES = 16

/** A call of the server that creates a secret. */
type SecretCall<Input> = (
  input: Input & { idempotencyKey: string },
  options: ReturnType<typeof onAccount>,
) => Promise<NewKey & { requestId: string }>

/**
 * Sends the one request of a dialog that creates a secret, and shows the new secret. The dialog is mounted once for each
 * opening.
 *
 * All attempts have the same idempotency key. If the answer of an attempt is lost, the server has perhaps created the secret.
 * From then on, `isFrozen` is true, and every further attempt sends the input of that attempt again. Another input of the dialog is
 * ignored. So each further attempt is a repeat: it ends no working secret and creates no second key. A later error does not end
 * this state, because it does not prove that the lost attempt failed.
 */
export function useSecretRequest<Input extends object>(call: SecretCall<Input>) {
  const [idempotencyKey] = useState(newIdempotencyKey)
  const [accountId] = useState(currentAccountId)
  const [lost, setLost] = useState<Input | null>(null)
  /** Throws the error of the call. Returns false, without a call, if nobody is signed in. All attempts act on one account. */
  const send = async (input: Input): Promise<boolean> => {
    const userId = currentSession()?.user.id
    if (userId === undefined || accountId === null) return false
    const request = lost ?? input
    try {
      const { requestId: _, ...key } = await call({ ...request, idempotencyKey }, onAccount(accountId))
      showSecret(userId, accountId, key)
      return true
    } catch (error) {
      if (describeCallError(error).isPerhapsDone) setLost(request)
      throw error
    }
  }
  return { send, isFrozen: lost !== null }
}

/** `crypto.randomUUID` would exist only on pages that are served over HTTPS or from this computer. */
function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(IDEMPOTENCY_KEY_RANDOM_BYTES))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
