import { nextPath } from '@keymeter/contract'
import { useSearch } from '@tanstack/react-router'

/** Returns the page to which the person goes after the sign-in. */
export function useNext(): string {
  return nextPath(useSearch({ from: '/auth' }).next ?? '/')
}
