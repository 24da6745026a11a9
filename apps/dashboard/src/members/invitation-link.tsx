import { INVITATION_DAYS } from '@keymeter/contract'
import { Check, Copy } from 'lucide-react'
import { useRef, useState } from 'react'
import { writtenAddress } from '../auth/written-address.ts'
import { Button } from '../ui/button.tsx'
import { UserText } from '../ui/user-text.tsx'
import type { Invited } from './invitations.tsx'

/** Shows the link of a new invitation. The server stores only a hash, so the link cannot be shown again. */
export function InvitationLink({ invited: { link, invitation, mail } }: { invited: Invited }) {
  const [copied, setCopied] = useState<'not yet' | 'copied' | 'failed'>('not yet')
  const field = useRef<HTMLInputElement>(null)
  // A server that does not know its own URL returns a path.
  const url = new URL(link, location.origin).href
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(url)
      setCopied('copied')
    } catch {
      setCopied('failed')
      field.current?.select()
    }
  }
  return (
    <section aria-label="New invitation" className="grid gap-2 rounded-2xl border border-line bg-surface p-4">
      <p role="status" className="wrap-anywhere text-sm">
        {mail === 'failed' && 'The mail could not be sent. '}
        {mail === 'sent' ? 'We have sent this link to' : 'Copy this link, and send it to'}{' '}
        <UserText>{writtenAddress(invitation.email)}</UserText>. It works for {INVITATION_DAYS} days, only for this address, and
        is shown only now.
      </p>
      <div className="flex flex-wrap gap-2">
        <input
          ref={field}
          readOnly
          aria-label="Link of the invitation"
          value={url}
          onFocus={(event) => event.target.select()}
          className="min-h-10 min-w-0 flex-1 rounded-lg border border-line-strong bg-raised px-3 font-mono text-sm"
        />
        <Button onClick={copy}>
          {copied === 'copied' ? (
            <Check className="size-4" aria-hidden="true" />
          ) : (
            <Copy className="size-4" aria-hidden="true" />
          )}
          {copied === 'copied' ? 'Copied' : 'Copy link'}
        </Button>
      </div>
      <p role="status" className="text-sm text-ink-soft">
        {copied === 'failed' && 'Copying failed. The link is selected: press Ctrl+C.'}
        {copied === 'copied' && 'The link is on your clipboard.'}
      </p>
    </section>
  )
}
