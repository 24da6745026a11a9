import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { forgetProvisioning } from '../auth/provisioning.ts'
import { currentSession, onUserChange } from '../auth/session.ts'
import { forgetAllSecrets } from '../keys/new-secret.ts'
import { router } from './router.tsx'
import { queryClient } from './trpc.ts'

export function start(root: HTMLElement): void {
  let lastUserId = currentSession()?.user.id ?? null
  onUserChange((userId) => {
    // One person's data must not be there for the next. A session that merely ended takes no unsaved secret with it.
    queryClient.clear()
    if (userId === null) forgetProvisioning()
    else if (userId !== lastUserId) forgetAllSecrets()
    lastUserId = userId ?? lastUserId
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
