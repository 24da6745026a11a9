import { Check, Copy } from 'lucide-react'
import { useEffect, useId, useRef, useState } from 'react'
import { AccountName } from '../account/account-name.tsx'
import { useAccounts, useCurrentAccountId } from '../account/current-account.ts'
import { forgetSecret, type ShownSecret, useNewSecret } from '../account/new-secret.ts'
import { api, onAccount, queryClient } from '../call/trpc.ts'
import { AlertDialog } from '../ui/alert-dialog.tsx'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { ExpiryNotice } from './expiry-notice.tsx'
import { KeyName } from './key-name.tsx'

/** Shows a new secret, which cannot be shown again. If the user has not copied the secret, the dialog asks before it closes. */
export function SecretDialog() {
  const shown = useNewSecret()
  return shown && <OpenSecretDialog key={shown.key.keyPrefix} shown={shown} />
}

/**
 * Tells the server that the user has saved the secret. If this call fails, the server treats the secret as lost until the
 * secret is used. The list of keys then offers a new secret.
 */
async function confirmSaved({ accountId, key: { id, keyPrefix } }: ShownSecret): Promise<void> {
  try {
    await api.keys.confirmSecretSaved.mutate({ id, keyPrefix }, onAccount(accountId))
    await queryClient.invalidateQueries()
  } catch {}
}

type CopyState = 'not copied' | 'copied' | 'failed'

function OpenSecretDialog({ shown }: { shown: ShownSecret }) {
  const { key: newKey, accountId } = shown
  const isOfOtherAccount = useCurrentAccountId() !== accountId
  const account = useAccounts()?.find(({ id }) => id === accountId)
  const [copyState, setCopyState] = useState<CopyState>('not copied')
  const [isAsking, setIsAsking] = useState(false)
  const copyButton = useRef<HTMLButtonElement>(null)
  const isSafe = copyState === 'copied'
  useLeaveGuard(!isSafe)
  const noteCopyState = (state: CopyState) => {
    setCopyState(state)
    if (state === 'copied' && !isSafe) void confirmSaved(shown)
  }
  const requestClose = () => (isSafe ? forgetSecret(newKey) : setIsAsking(true))
  return (
    <>
      <Dialog title="Save your secret" isOpen onCloseRequest={requestClose} initialFocus={copyButton}>
        <p className="text-sm text-ink-soft">
          This is the secret of the key{' '}
          <strong className="wrap-anywhere font-medium text-ink">
            <KeyName name={newKey.name} />
          </strong>
          {isOfOtherAccount && account !== undefined && (
            <>
              {' '}
              in the account <AccountName account={account} />
            </>
          )}
          . It is shown only this once: store it where you keep your other secrets.
        </p>
        {newKey.expiresAt !== null && <ExpiryNotice expiresAt={newKey.expiresAt} />}
        <SecretField secret={newKey.secret} copyState={copyState} onCopyState={noteCopyState} copyButton={copyButton} />
        <div className="flex justify-end">
          <Button variant={isSafe ? 'primary' : 'secondary'} onClick={requestClose}>
            Done
          </Button>
        </div>
      </Dialog>
      <AlertDialog
        title="Close without copying?"
        isOpen={isAsking}
        onCancel={() => setIsAsking(false)}
        cancelLabel="Keep open"
        action={
          <Button variant="danger" onClick={() => forgetSecret(newKey)}>
            Close anyway
          </Button>
        }
      >
        <p>You won't see this secret again. If you lose it, get a new one from the list of your keys.</p>
      </AlertDialog>
    </>
  )
}

interface SecretFieldProps {
  secret: string
  copyState: CopyState
  onCopyState: (state: CopyState) => void
  copyButton: React.RefObject<HTMLButtonElement | null>
}

function SecretField({ secret, copyState, onCopyState, copyButton }: SecretFieldProps) {
  const label = useId()
  const field = useRef<HTMLTextAreaElement>(null)
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(secret)
      onCopyState('copied')
    } catch {
      onCopyState('failed')
      field.current?.select()
    }
  }
  return (
    <div className="grid gap-2">
      <span id={label} className="text-sm font-medium">
        Secret
      </span>
      <textarea
        ref={field}
        readOnly
        rows={3}
        aria-labelledby={label}
        value={secret}
        spellCheck={false}
        onFocus={(event) => event.target.select()}
        onCopy={({ currentTarget }) =>
          currentTarget.selectionEnd - currentTarget.selectionStart === secret.length && onCopyState('copied')
        }
        className="field-sizing-content w-full resize-none break-all rounded-lg border border-line-strong bg-raised px-3 py-2 font-mono text-sm"
      />
      <Button ref={copyButton} onClick={copy}>
        {copyState === 'copied' ? (
          <Check className="size-4" aria-hidden="true" />
        ) : (
          <Copy className="size-4" aria-hidden="true" />
        )}
        {copyState === 'copied' ? 'Copied' : 'Copy secret'}
      </Button>
      {/* The height of one line is reserved, so that the button below does not move. */}
      <p role="status" className="min-h-5 text-sm text-ink-soft">
        {copyState === 'failed' && 'Copying failed. The secret is selected: press Ctrl+C.'}
        {copyState === 'copied' && 'The secret is on your clipboard.'}
      </p>
    </div>
  )
}

/** Makes the browser ask before the user leaves or reloads the page. */
function useLeaveGuard(isActive: boolean): void {
  useEffect(() => {
    if (!isActive) return
    const guard = (event: BeforeUnloadEvent) => event.preventDefault()
    window.addEventListener('beforeunload', guard)
    return () => window.removeEventListener('beforeunload', guard)
  }, [isActive])
}
