import { useEffect, useEffectEvent } from 'react'

/** Long enough that a fast typist causes one call of the server, and short enough that the user does not notice it. */
const TYPING_DELAY_MS = 200

/** Calls `act` with a text that the user types, after the text has not changed for a short time. */
export function useDelayed<Text extends string | null>(text: Text, act: (text: Text) => void): void {
  const actNow = useEffectEvent(act)
  useEffect(() => {
    const timer = setTimeout(() => actNow(text), TYPING_DELAY_MS)
    return () => clearTimeout(timer)
  }, [text])
}
