import { Toast } from '@base-ui/react/toast'
import type { ReactNode } from 'react'
import { Button } from './button.tsx'

/** A message with a button stays longer than a message without one, so that there is time to reach the button. */
const ACTION_MS = 20_000

const manager = Toast.createToastManager()

/**
 * Shows a message for a short time. Screen readers read the message without interrupting the user. With `undo`, the message has
 * a button that undoes what the user has done. The key F6 moves the focus to the messages, and the timer then stops.
 */
export function announce(message: ReactNode, undo?: () => void): void {
  if (undo === undefined) {
    manager.add({ description: message })
    return
  }
  const id = manager.add({
    description: (
      <>
        {message}
        <span className="sr-only"> Press F6, then Tab twice, then Enter, to undo this.</span>
      </>
    ),
    timeout: ACTION_MS,
    actionProps: {
      children: 'Undo',
      onClick: () => {
        manager.close(id)
        undo()
      },
    },
  })
}

/** Closes all messages. */
export function closeToasts(): void {
  manager.close()
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={manager}>
      <Toast.Portal>
        <Toast.Viewport
          ref={reserveRoom}
          className="fixed right-4 bottom-4 left-4 z-10 mx-auto grid w-auto max-w-sm gap-2 sm:left-auto"
        >
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  )
}

/**
 * Gives the page as much room at its end as the messages need (`--toasts-room` in index.css). Otherwise a message would cover
 * the last row of a list, and the user could not scroll this row out from under it.
 */
function reserveRoom(viewport: HTMLElement | null) {
  if (viewport === null) return
  const { style } = document.documentElement
  const observer = new ResizeObserver(() => style.setProperty('--toasts-room', `${viewport.offsetHeight}px`))
  observer.observe(viewport)
  return () => {
    observer.disconnect()
    style.removeProperty('--toasts-room')
  }
}

function ToastList() {
  const { toasts } = Toast.useToastManager()
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className="flex items-center justify-between gap-4 rounded-lg border border-line bg-surface px-4 py-3 text-sm shadow-lg motion-safe:transition data-ending-style:opacity-0 data-starting-style:opacity-0"
    >
      <Toast.Description className="min-w-0 wrap-anywhere" />
      <Toast.Action render={<Button variant="secondary" className="shrink-0" />} />
    </Toast.Root>
  ))
}
