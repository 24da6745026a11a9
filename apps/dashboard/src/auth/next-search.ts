import { nextPath } from '@keymeter/contract'

/** The search parameters of every page on which a person signs in. */
export interface NextSearch {
  /** The page to which the person goes afterwards. The first page is left out. */
  next?: string | undefined
}

/** Ignores a page of another site, because a URL can contain anything. */
export function parseNextSearch({ next }: Record<string, unknown>): NextSearch {
  return nextSearch(nextPath(next))
}

export function nextSearch(next: string): NextSearch {
  return { next: next === '/' ? undefined : next }
}
