import { MAIL_PAUSE_SECONDS, type RequestLink } from '@keymeter/contract'
import { useState } from 'react'
import { type CallError, describeCallError } from '../call/call-error.ts'

/**
 * Sends requests for a mail. `readyAt` is the time at which the next request makes sense: a minute after a request, or the time that
 * the server has returned. It is null before the first request.
 */
export function useMailRequest(call: (input: RequestLink) => Promise<unknown>) {
  const [readyAt, setReadyAt] = useState<string | null>(null)
  const [fault, setFault] = useState<CallError | null>(null)
  const waitFor = (ms: number) => setReadyAt(new Date(Date.now() + ms).toISOString())
  /** Returns true if the server accepted the request. */
  const send = async (input: RequestLink): Promise<boolean> => {
    setFault(null)
    try {
      await call(input)
      waitFor(MAIL_PAUSE_SECONDS * 1_000)
      return true
    } catch (error) {
      const callError = describeCallError(error)
      setFault(callError)
      if (callError.retryAfterMs > 0) waitFor(callError.retryAfterMs)
      return false
    }
  }
  return { send, readyAt, fault }
}
