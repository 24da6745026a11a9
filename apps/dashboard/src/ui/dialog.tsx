import { Dialog as BaseDialog } from '@base-ui/react/dialog'
import type { ComponentProps, ReactNode } from 'react'
import { BACKDROP, POPUP } from './popup.ts'

interface DialogProps {
  title: string
  isOpen: boolean
  /** Called when the user presses Escape or clicks outside. The dialog stays open until `isOpen` changes. */
  onCloseRequest: () => void
  initialFocus?: ComponentProps<typeof BaseDialog.Popup>['initialFocus']
  children: ReactNode
}

export function Dialog({ title, isOpen, onCloseRequest, initialFocus, children }: DialogProps) {
  return (
    <BaseDialog.Root open={isOpen} onOpenChange={(open) => open || onCloseRequest()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className={BACKDROP} />
        <BaseDialog.Popup className={POPUP} initialFocus={initialFocus}>
          <BaseDialog.Title className="text-lg font-semibold">{title}</BaseDialog.Title>
          {children}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  )
}
