import { CSPProvider } from '@base-ui/react/csp-provider'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { enterUser, onAccountChange } from '../account/current-account.ts'
import { keepSecretsOf } from '../account/new-secret.ts'
import { forgetProvisioning } from '../account/provisioning.ts'
import { onUserChange } from '../call/session.ts'
import { forgetAccountData, queryClient } from '../call/trpc.ts'
import { followTheme } from '../ui/theme.ts'
import { closeToasts } from '../ui/toasts.tsx'
import { router } from './router.tsx'

export function start(root: HTMLElement): void {
  followTheme()
  onUserChange((userId) => {
    // Forget the data of the previous user, because the next user must not see it.
    queryClient.clear()
    enterUser(userId)
    if (userId === null) forgetProvisioning()
    else keepSecretsOf(userId)
    void router.invalidate()
  })
  onAccountChange(() => {
    forgetAccountData()
    // The button of a message undoes something in the previous account.
    closeToasts()
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
