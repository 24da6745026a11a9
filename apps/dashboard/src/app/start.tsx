import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { keepSecretsOf } from '../account/new-secret.ts'
import { forgetProvisioning } from '../account/provisioning.ts'
import { onUserChange } from '../call/session.ts'
import { queryClient } from '../call/trpc.ts'
import { followTheme } from '../ui/theme.ts'
import { router } from './router.tsx'

export function start(root: HTMLElement): void {
  followTheme()
  onUserChange((userId) => {
    // Forget the data of the previous user, because the next user must not see it.
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
