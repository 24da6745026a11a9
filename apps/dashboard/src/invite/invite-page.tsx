import type { InvitationState, MemberRole, ReceivedInvitation } from '@keymeter/contract'
import { Link, useNavigate } from '@tanstack/react-router'
import { type ReactNode, useEffect, useState } from 'react'
import { chooseAccount } from '../account/current-account.ts'
import { readAccounts } from '../account/read-accounts.ts'
import { nextSearch } from '../auth/next-search.ts'
import { writtenAddress } from '../auth/written-address.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { signOut, useSession } from '../call/session.ts'
import { api } from '../call/trpc.ts'
import { Button } from '../ui/button.tsx'
import { formatMoment } from '../ui/format.ts'
import { Notice } from '../ui/notice.tsx'
import { announce } from '../ui/toasts.tsx'
import { UserText } from '../ui/user-text.tsx'
import { setPendingInvitation, usePendingInvitation } from './pending-invitation.ts'

const ROLES: Record<MemberRole, string> = {
  owner: 'an owner',
  admin: 'an admin',
  developer: 'a developer',
  viewer: 'a viewer',
}

const CLOSED: Record<Exclude<InvitationState, 'open'>, string> = {
  accepted: 'This invitation was already used. If you have used it, sign in with the address below to see the account.',
  expired: 'This invitation has expired. Ask for a new one.',
  revoked:
    'This invitation was revoked, or replaced by a newer one. Open the link of the latest mail, or ask for a new invitation.',
  closed: 'The account of this invitation was deleted, so nobody can join it. Ask the person who invited you.',
}

/** Shows an invitation to everybody who has its link, and lets the invited person accept it. */
export function InvitePage() {
  const pending = usePendingInvitation()
  return (
    <main className="mx-auto grid w-full max-w-md gap-6 px-4 py-10 sm:py-20">
      <title>Invitation · Keymeter</title>
      <div className="flex items-center gap-3 justify-self-center">
        <img src="/favicon.svg" alt="" className="size-9" />
        <span className="text-xl font-semibold tracking-tight">Keymeter</span>
      </div>
      <div className="grid gap-5 rounded-2xl border border-line bg-surface p-6 shadow-sm sm:p-8">
        <h1 className="text-xl font-semibold">Invitation</h1>
        {pending === null ? (
          <Notice>
            Open the link of your invitation again. This page does not know it, because it was opened in another browser or tab.
          </Notice>
        ) : (
          <PendingInvitation key={pending.token} token={pending.token} isWanted={pending.isWanted} />
        )}
      </div>
      <p className="text-center text-sm text-ink-soft">
        <Link
          to="/"
          onClick={() => setPendingInvitation(null)}
          className="font-medium text-accent underline underline-offset-2"
        >
          Continue without the invitation
        </Link>
      </p>
    </main>
  )
}

/** The token is kept in no cache, so this component does not use a query. */
function PendingInvitation({ token, isWanted }: { token: string; isWanted: boolean }) {
  const [invitation, setInvitation] = useState<ReceivedInvitation | null>(null)
  const [fault, setFault] = useState<CallError | null>(null)
  const [attempt, setAttempt] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt sends the call again
  useEffect(() => {
    let isShown = true
    api.members.readInvitation.mutate({ token }).then(
      (answer) => {
        if (!isShown) return
        setInvitation(answer)
        setPendingInvitation({ token, email: answer.email, isWanted })
      },
      (error) => isShown && setFault(describeCallError(error)),
    )
    return () => {
      isShown = false
    }
  }, [token, attempt])
  const retry = () => {
    setFault(null)
    setAttempt(attempt + 1)
  }
  if (fault !== null)
    return (
      <ErrorNotice error={fault}>
        {fault.isPassing && (
          <Button variant="secondary" onClick={retry}>
            Retry
          </Button>
        )}
      </ErrorNotice>
    )
  if (invitation === null)
    return <div role="status" aria-label="Loading the invitation" className="h-32 rounded-lg bg-raised" />
  return (
    <>
      <InvitationText invitation={invitation} />
      {invitation.state === 'open' ? (
        <OpenInvitation token={token} invitation={invitation} isWanted={isWanted} />
      ) : (
        <Notice>{CLOSED[invitation.state]}</Notice>
      )}
    </>
  )
}

function InvitationText({
  invitation: { accountName, invitedBy, role, email, expiresAt, state },
}: {
  invitation: ReceivedInvitation
}) {
  const inviter = invitedBy === null ? 'Somebody' : <Strong>{writtenAddress(invitedBy)}</Strong>
  return (
    <div className="grid gap-2 wrap-anywhere">
      <p>
        {inviter} invites you to {accountName === null ? 'an account' : <Strong>{accountName}</Strong>} as {ROLES[role]}.
      </p>
      <p className="text-sm text-ink-soft">
        The invitation is for <Strong>{writtenAddress(email)}</Strong>
        {state === 'open' && (
          <>
            {' '}
            and ends <time dateTime={expiresAt}>{formatMoment(expiresAt)}</time>
          </>
        )}
        .
      </p>
    </div>
  )
}

function Strong({ children }: { children: string }) {
  return (
    <strong className="font-medium text-ink">
      <UserText>{children}</UserText>
    </strong>
  )
}

interface OpenInvitationProps {
  token: string
  invitation: ReceivedInvitation
  isWanted: boolean
}

function OpenInvitation({ token, invitation: { email }, isWanted }: OpenInvitationProps) {
  const user = useSession()?.user
  if (user === undefined) return <SignedOut token={token} email={email} />
  if (user.email?.toLowerCase() !== email.toLowerCase()) return <SignedInAsOther own={user.email} email={email} />
  return <Accept token={token} userId={user.id} isWanted={isWanted} />
}

function SignedOut({ token, email }: { token: string; email: string }) {
  const navigate = useNavigate()
  const go = async (to: '/sign-in' | '/sign-up') => {
    setPendingInvitation({ token, email, isWanted: true })
    // The mail that confirms the address can be opened in another browser, which does not know the invitation. It then shows this page.
    await navigate({ to, search: nextSearch('/invite') })
  }
  return (
    <Actions>
      <Button onClick={() => go('/sign-up')}>Sign up to join</Button>
      <Button variant="secondary" onClick={() => go('/sign-in')}>
        I already sign in here
      </Button>
    </Actions>
  )
}

function SignedInAsOther({ own, email }: { own: string | undefined; email: string }) {
  return (
    <>
      <Notice>
        You are signed in {own ? 'as ' : 'without an address'}
        {own && <Strong>{writtenAddress(own)}</Strong>}. Only <Strong>{writtenAddress(email)}</Strong> can accept.
      </Notice>
      <Actions>
        <Button onClick={signOut}>Sign out and continue</Button>
      </Actions>
    </>
  )
}

function Accept({ token, userId, isWanted }: { token: string; userId: string; isWanted: boolean }) {
  const navigate = useNavigate()
  const [isPending, setIsPending] = useState(isWanted)
  const [fault, setFault] = useState<CallError | null>(null)
  const accept = async () => {
    setIsPending(true)
    setFault(null)
    try {
      const { account, isNew } = await api.members.acceptInvitation.mutate({ token })
      await readAccounts()
      chooseAccount(account.id)
      setPendingInvitation(null)
      announce(isNew ? 'You have joined the account.' : 'You are a member of this account already.')
      await navigate({ to: '/' })
    } catch (error) {
      setFault(describeCallError(error))
      setIsPending(false)
    }
  }
  // A person who has signed in or signed up in order to join does not press a second button. A repeat of the call changes nothing.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only once for each user
  useEffect(() => {
    if (isWanted) void accept()
  }, [userId])
  return (
    <>
      {fault !== null && <ErrorNotice error={fault} />}
      <Actions>
        <Button isPending={isPending} onClick={accept}>
          Join the account
        </Button>
      </Actions>
    </>
  )
}

function Actions({ children }: { children: ReactNode }) {
  return <div className="grid gap-2">{children}</div>
}
