import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { forgetProvisioning } from '../auth/provisioning.ts'
import { onUserChange } from '../auth/session.ts'
import { keepSecretsOf } from '../keys/new-secret.ts'
import { router } from './router.tsx'
import { queryClient } from './trpc.ts'

export function start(root: HTMLElement): void {
  onUserChange((userId) => {
    // One person's data must not be there for the next.
    queryClient.clear()
    if (userId === null) forgetProvisioning()
    else keepSecretsOf(userId)
    void router.invalidate()
  })
  createRoot(root).render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  )
}
