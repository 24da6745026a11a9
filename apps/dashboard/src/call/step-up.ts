import type { AppRouter } from '@keymeter/api'
import type { TRPCLink } from '@trpc/client'
import { observable, type Unsubscribable } from '@trpc/server/observable'
import { createStore } from '../ui/store.ts'
import { secondFactorsOf } from './second-factor.ts'
import { currentSession, readAccessToken } from './session.ts'

/** The question whether the user is still the person who signed in. */
interface StepUp {
  /** True after a new sign-in, and false if the user cancels. */
  answer: Promise<boolean>
  end: (isSignedIn: boolean) => void
}

const store = createStore<StepUp | null>(null)

/** Returns the question that the page shows now, or null. */
export const useStepUp = store.use

/**
 * Sends a call again after a new sign-in, if the server refused it because the sign-in was too old or without the second factor. The
 * second attempt has the same input, and so the same idempotency key. Until then, the call is pending, so its form stays as it is. If
 * the user cancels, the call fails with the refusal.
 */
export const stepUpLink: TRPCLink<AppRouter> =
  () =>
  ({ op, next }) =>
    observable((observer) => {
      let isStopped = false
      let hasAsked = false
      let attempt: Unsubscribable
      const send = () => {
        const sentBy = currentSessionId()
        const refused = async (refusal: Parameters<typeof observer.error>[0]) => {
          const reason = refusal.data?.reason
          // Somebody without a second factor cannot answer. The refusal says where to set one up.
          const session = currentSession()
          const canGiveCode = session !== null && secondFactorsOf(session).length > 0
          const isAnswerable = reason === 'sign_in_too_old' || (reason === 'second_factor_required' && canGiveCode)
          if (!isAnswerable) return observer.error(refusal)
          // The user has perhaps signed in again while the call was on its way, because another call was refused.
          const isOutdated = sentBy !== currentSessionId()
          const maySend = isOutdated || (!hasAsked && (await askForSignIn()))
          hasAsked ||= !isOutdated
          if (maySend && !isStopped) send()
          else observer.error(refusal)
        }
        attempt = next(op).subscribe({ next: observer.next, complete: observer.complete, error: refused })
      }
      send()
      return () => {
        isStopped = true
        attempt.unsubscribe()
      }
    })

/** Each sign-in has a session of its own. A refresh only changes the access token. */
function currentSessionId(): unknown {
  const session = currentSession()
  return session && readAccessToken(session).sessionId
}

/** Calls that are refused while the question is shown wait for its answer, too. */
function askForSignIn(): Promise<boolean> {
  const shown = store.get()
  if (shown !== null) return shown.answer
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const question: StepUp = {
    answer: promise,
    end: (isSignedIn) => {
      // The page perhaps shows a later question by now.
      if (store.get() === question) store.set(null)
      resolve(isSignedIn)
    },
  }
  store.set(question)
  return promise
}
