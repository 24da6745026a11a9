import { Button } from '../ui/button.tsx'
import { describeCallError } from './call-error.ts'
import { ErrorNotice } from './error-notice.tsx'

interface QueryFaultProps {
  query: { isError: boolean; error: unknown; refetch: () => Promise<unknown> }
}

/** Shows the error of a query and a retry button. Data that was loaded earlier stays visible. */
export function QueryFault({ query }: QueryFaultProps) {
  if (!query.isError) return null
  return (
    <ErrorNotice error={describeCallError(query.error)}>
      <Button variant="secondary" onClick={() => query.refetch()}>
        Retry
      </Button>
    </ErrorNotice>
  )
}
