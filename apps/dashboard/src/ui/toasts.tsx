import { Toast } from '@base-ui/react/toast'

const manager = Toast.createToastManager()

/** Shows a message for a short time. Screen readers read the message without interrupting the user. */
export function announce(text: string): void {
  manager.add({ description: text })
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={manager}>
      <Toast.Portal>
        <Toast.Viewport className="fixed right-4 bottom-4 left-4 z-10 mx-auto grid w-auto max-w-sm gap-2 sm:left-auto">
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  )
}

function ToastList() {
  const { toasts } = Toast.useToastManager()
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className="rounded-lg border border-line bg-surface px-4 py-3 text-sm shadow-lg motion-safe:transition data-ending-style:opacity-0 data-starting-style:opacity-0"
    >
      <Toast.Description />
    </Toast.Root>
  ))
}
