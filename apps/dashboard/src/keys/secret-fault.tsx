import type { CallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'

/** Shows the error of a call that creates a secret, and that it is safe to repeat the call if the answer was lost. */
export function SecretFault({ error }: { error: CallError }) {
  return (
    <ErrorNotice error={error}>
      {error.isPerhapsDone && (
        <p>The answer was lost, so the new secret perhaps exists already. Try again: this ends no working secret.</p>
      )}
    </ErrorNotice>
  )
}
