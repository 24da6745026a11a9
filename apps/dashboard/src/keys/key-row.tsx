import type { KeyType, KeyWithUsage } from '@keymeter/contract'
import { lazyRouteComponent } from '@tanstack/react-router'
import { Suspense, useId, useState } from 'react'
import { useCurrentAccountId } from '../account/current-account.ts'
import { useIsSecretShown } from '../account/new-secret.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { api, queryClient } from '../call/trpc.ts'
import { Badge } from '../ui/badge.tsx'
import { formatCredits, formatMoment } from '../ui/format.ts'
import { Moment } from '../ui/moment.tsx'
import { TextButton } from '../ui/text-button.tsx'
import { announce } from '../ui/toasts.tsx'
import { isolated } from '../ui/user-text.tsx'
import { announceDisabled } from './announce-disabled.tsx'
import { announceEnabled } from './announce-enabled.tsx'
import { isInUse } from './is-in-use.ts'
import { KeyCreator } from './key-creator.tsx'
import type { KeyDialog } from './key-dialog.ts'
import { KeyName } from './key-name.tsx'
import { KeyStatusBadge } from './key-status-badge.tsx'
import { useMayChangeKey } from './use-may-change-key.ts'

/** The menu is a large script, so it is loaded separately, in parallel with the list of keys. */
const KeyActions = lazyRouteComponent(() => import('./key-actions.tsx'), 'KeyActions')
void KeyActions.preload?.()

const TYPE_TONES = { dev: 'accent', prod: 'warm' } as const satisfies Record<KeyType, string>

export function KeyRow({ apiKey, onDialog }: { apiKey: KeyWithUsage; onDialog: (dialog: KeyDialog) => void }) {
  const [fault, setFault] = useState<CallError | null>(null)
  const [isBusy, setIsBusy] = useState(false)
  const labelId = useId()
  const isSecretShown = useIsSecretShown(apiKey.id)
  const accountId = useCurrentAccountId()
  const isRevoked = apiKey.revokedAt !== null
  const mayChange = useMayChangeKey(apiKey)
  const lastUsed = apiKey.lastUsedAt === null ? 'Never used' : <Moment iso={apiKey.lastUsedAt} />

  const act = async (work: () => Promise<void>) => {
    setFault(null)
    setIsBusy(true)
    try {
      await work()
    } catch (error) {
      setFault(describeCallError(error))
    }
    // Refresh the list even if the server refused the action, because another session may have changed the key.
    await queryClient.invalidateQueries()
    setIsBusy(false)
  }
  const disable = async () => {
    await api.keys.disable.mutate({ id: apiKey.id })
    announceDisabled(apiKey, accountId)
  }
  const enable = async () => {
    await api.keys.enable.mutate({ id: apiKey.id })
    announceEnabled(apiKey)
  }
  const confirmSaved = async () => {
    await api.keys.confirmSecretSaved.mutate({ id: apiKey.id, keyPrefix: apiKey.keyPrefix })
    // The pressed button disappears. Focus the heading, because otherwise the focus would jump to the top of the page.
    document.getElementById('keys')?.focus()
    announce(
      <>
        The secret of <KeyName {...apiKey} /> counts as saved.
      </>,
    )
  }
  const toggle = () => {
    if (apiKey.disabledAt !== null) void act(enable)
    else if (isInUse(apiKey)) onDialog('disable')
    else void act(disable)
  }

  return (
    <>
      <tr className="border-line not-last:border-b align-middle">
        <td className="w-full max-w-0 px-4 py-3 md:w-auto md:max-w-80">
          <div className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1">
            <span id={`${labelId}-name`} className="min-w-0 truncate font-medium" title={isolated(apiKey.name)}>
              <KeyName name={apiKey.name} />
            </span>
            <Badge tone={TYPE_TONES[apiKey.keyType]}>{apiKey.keyType}</Badge>
            <KeyStatusBadge apiKey={apiKey} />
          </div>
          <code id={`${labelId}-prefix`} className="block truncate font-mono text-xs text-ink-soft">
            {apiKey.keyPrefix}…
          </code>
          <KeyCreator apiKey={apiKey} />
          <div className="text-xs text-ink-soft md:hidden">
            Created <Moment iso={apiKey.createdAt} /> · {apiKey.lastUsedAt !== null && 'used '}
            {lastUsed}
          </div>
          {mayChange && !apiKey.isSecretSaved && !isRevoked && !isSecretShown && (
            <p className="flex flex-wrap items-baseline gap-x-2 text-xs text-ink-soft">
              Secret not saved?{' '}
              <TextButton isPending={isBusy} onClick={() => act(confirmSaved)}>
                I have it
              </TextButton>{' '}
              <TextButton isPending={isBusy} onClick={() => onDialog('replaceLost')}>
                Get a new one
              </TextButton>
            </p>
          )}
          {apiKey.graceEndsAt !== null && (
            <p
              className="text-xs text-ink-soft"
              title="Each previous secret works until its own time. This is the time when the last one ends."
            >
              Previous secrets work until <time dateTime={apiKey.graceEndsAt}>{formatMoment(apiKey.graceEndsAt)}</time>{' '}
              {mayChange && <TextButton onClick={() => onDialog('endGrace')}>End now</TextButton>}
            </p>
          )}
        </td>
        <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft md:table-cell">
          <Moment iso={apiKey.createdAt} />
        </td>
        <td className="hidden whitespace-nowrap px-4 py-3 text-ink-soft md:table-cell">{lastUsed}</td>
        <td className="figures px-2 py-3 text-right sm:px-4">
          <span className="whitespace-nowrap font-medium">{formatCredits(apiKey.creditsUsed)}</span>
          {apiKey.creditLimit !== null && (
            <>
              {' '}
              <span className="whitespace-nowrap text-ink-soft">of {formatCredits(apiKey.creditLimit)}</span>
            </>
          )}
        </td>
        <td className="py-3 pr-3 text-right">
          {!isRevoked && mayChange && (
            <Suspense fallback={<span className="inline-block size-10" />}>
              <KeyActions apiKey={apiKey} labelId={labelId} onDialog={onDialog} onToggle={toggle} />
            </Suspense>
          )}
        </td>
      </tr>
      {fault !== null && (
        <tr className="border-line not-last:border-b">
          <td colSpan={5} className="px-4 pb-3">
            <ErrorNotice error={fault} />
          </td>
        </tr>
      )}
    </>
  )
}
