import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { nextSearch } from './next-search.ts'
import { useNext } from './use-next.ts'

/** A link between the pages on which a person signs in. It keeps the page to which the person goes afterwards. */
export function AuthLink({ to, children }: { to: '/sign-in' | '/sign-up' | '/forgot'; children: ReactNode }) {
  return (
    <Link to={to} search={nextSearch(useNext())} className="font-medium text-accent underline underline-offset-2">
      {children}
    </Link>
  )
}
