import { Menu } from '@base-ui/react/menu'
import type { KeyWithUsage } from '@keymeter/contract'
import { Link } from '@tanstack/react-router'
import { Ellipsis } from 'lucide-react'
import { isInUse } from './is-in-use.ts'
import { type KeyDialog, keyActionsId } from './key-dialog.ts'

interface KeyActionsProps {
  apiKey: KeyWithUsage
  /** The row shows the name in an element with the id `<labelId>-name`, and the key prefix in `<labelId>-prefix`. */
  labelId: string
  onDialog: (dialog: KeyDialog) => void
  onToggle: () => void
}

const ITEM =
  'flex min-h-10 cursor-pointer items-center rounded-md px-3 text-sm outline-none data-highlighted:bg-raised data-highlighted:text-ink'

export function KeyActions({ apiKey, labelId, onDialog, onToggle }: KeyActionsProps) {
  return (
    <Menu.Root>
      <Menu.Trigger
        id={keyActionsId(apiKey.id)}
        aria-labelledby={`${labelId}-actions ${labelId}-name ${labelId}-prefix`}
        className="inline-grid size-10 place-content-center rounded-lg text-ink-soft hover:bg-raised hover:text-ink data-popup-open:bg-raised"
      >
        <span id={`${labelId}-actions`} className="sr-only">
          Actions for
        </span>
        <Ellipsis className="size-5" aria-hidden="true" />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner align="end" sideOffset={4} collisionPadding={8} className="z-10 outline-none">
          <Menu.Popup className="min-w-44 rounded-xl border border-line bg-surface p-1 shadow-xl outline-none motion-safe:transition data-ending-style:opacity-0 data-starting-style:opacity-0">
            <Menu.Item className={ITEM} onClick={() => onDialog('edit')}>
              Edit…
            </Menu.Item>
            <Menu.Item className={ITEM} onClick={() => onDialog('rotate')}>
              Rotate secret…
            </Menu.Item>
            <Menu.Item className={ITEM} onClick={onToggle}>
              {apiKey.disabledAt !== null ? 'Enable' : isInUse(apiKey) ? 'Disable…' : 'Disable'}
            </Menu.Item>
            <Menu.LinkItem
              closeOnClick
              className={ITEM}
              render={<Link to="/activity" search={{ keyId: apiKey.id }} preload="intent" />}
            >
              Activity
            </Menu.LinkItem>
            <Menu.Separator className="mx-1 my-1 h-px bg-line" />
            <Menu.Item className={`${ITEM} text-danger data-highlighted:text-danger`} onClick={() => onDialog('revoke')}>
              Revoke…
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  )
}
