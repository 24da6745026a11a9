import type { CallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { Notice } from '../ui/notice.tsx'

interface SecretFaultProps {
  error: CallError | null
  /** True if the answer of this attempt or of an earlier attempt was lost (`useSecretRequest`). */
  isFrozen: boolean
}

/** Shows the error of a call that creates a secret, and that it is safe to repeat the call if an answer was lost. */
export function SecretFault({ error, isFrozen }: SecretFaultProps) {
  const advice = isFrozen && (
    <p>
      {error?.isPerhapsDone ? 'The answer was lost' : 'The answer of an earlier attempt was lost'}, so the new secret perhaps
      exists already. Try again: this ends no working secret. If it still fails, cancel and look at the list of your keys.
    </p>
  )
  if (error !== null) return <ErrorNotice error={error}>{advice}</ErrorNotice>
  return advice && <Notice>{advice}</Notice>
}
