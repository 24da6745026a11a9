import { AlertDialog as BaseAlertDialog } from '@base-ui/react/alert-dialog'
import { type ComponentProps, type ReactNode, useRef } from 'react'
import { Button } from './button.tsx'
import { BACKDROP, POPUP } from './popup.ts'

interface AlertDialogProps {
  title: string
  isOpen: boolean
  onCancel: () => void
  cancelLabel?: string
  /** The element that gets the focus when the dialog closes. Needed if the element that opened the dialog can disappear. */
  finalFocus?: ComponentProps<typeof BaseAlertDialog.Popup>['finalFocus']
  /** The button that confirms the action. */
  action: ReactNode
  children: ReactNode
}

/** Asks the user to confirm an action that cannot be undone. The Cancel button has the focus first. */
export function AlertDialog({
  title,
  isOpen,
  onCancel,
  cancelLabel = 'Cancel',
  finalFocus,
  action,
  children,
}: AlertDialogProps) {
  const cancel = useRef<HTMLButtonElement>(null)
  return (
    <BaseAlertDialog.Root open={isOpen} onOpenChange={(open) => open || onCancel()}>
      <BaseAlertDialog.Portal>
        <BaseAlertDialog.Backdrop className={BACKDROP} />
        <BaseAlertDialog.Popup className={POPUP} initialFocus={cancel} finalFocus={finalFocus}>
          <BaseAlertDialog.Title className="text-lg font-semibold">{title}</BaseAlertDialog.Title>
          <BaseAlertDialog.Description render={<div />} className="grid gap-3 text-sm text-ink-soft">
            {children}
          </BaseAlertDialog.Description>
          <div className="flex flex-wrap justify-end gap-2">
            <Button ref={cancel} variant="secondary" onClick={onCancel}>
              {cancelLabel}
            </Button>
            {action}
          </div>
        </BaseAlertDialog.Popup>
      </BaseAlertDialog.Portal>
    </BaseAlertDialog.Root>
  )
}
