import type { RouterOutputs } from '@keymeter/api'
import { INVITATION_DAYS, type Invitation, InviteMember, MemberRole } from '@keymeter/contract'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Controller } from 'react-hook-form'
import { useRole } from '../account/current-account.ts'
import { writtenAddress } from '../auth/written-address.ts'
import { type CallError, describeCallError } from '../call/call-error.ts'
import { ErrorNotice } from '../call/error-notice.tsx'
import { QueryFault } from '../call/query-fault.tsx'
import { api, queryClient, REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { useCallForm } from '../call/use-call-form.ts'
import { Badge } from '../ui/badge.tsx'
import { Button } from '../ui/button.tsx'
import { TextField } from '../ui/field.tsx'
import { formatMoment } from '../ui/format.ts'
import { Select } from '../ui/select.tsx'
import { TextButton } from '../ui/text-button.tsx'
import { announce } from '../ui/toasts.tsx'
import { isolated, UserText } from '../ui/user-text.tsx'
import { InvitationLink } from './invitation-link.tsx'
import { membersHeading } from './member-dialog.ts'
import { ROLE_NAMES, ROLE_TEXTS } from './role-texts.ts'

export type Invited = RouterOutputs['members']['invite']

/** The form that invites a person, the link of the last invitation, and the list of the open invitations. */
export function Invitations() {
  const invitations = useQuery(trpc.members.invitations.queryOptions(undefined, { refetchInterval: REFRESH_INTERVAL_MS }))
  /** Only the answer contains the link, so it is shown until the next invitation or until the page is left. */
  const [last, setLast] = useState<Invited | null>(null)
  const note = async (invited: Invited) => {
    setLast(invited)
    await queryClient.invalidateQueries(trpc.members.pathFilter())
  }
  return (
    <section aria-labelledby="invitations" className="grid gap-4">
      <h2 id="invitations" className="text-lg font-semibold">
        Invitations
      </h2>
      <p className="text-sm text-ink-soft">
        The link of an invitation works for {INVITATION_DAYS} days. It is shown only once: “Send again” makes a new one and ends
        the earlier one.
      </p>
      <InviteForm onInvited={note} />
      {last !== null && <InvitationLink key={last.invitation.id} invited={last} />}
      <QueryFault query={invitations} />
      {invitations.data?.data.length === 0 && <p className="text-sm text-ink-soft">There are no open invitations.</p>}
      {invitations.data !== undefined && invitations.data.data.length > 0 && (
        <ul aria-label="Open invitations" className="rounded-2xl border border-line bg-surface">
          {invitations.data.data.map((invitation) => (
            <InvitationItem
              key={invitation.id}
              invitation={invitation}
              onSentAgain={note}
              onRevoked={() => setLast((now) => (now?.invitation.id === invitation.id ? null : now))}
            />
          ))}
        </ul>
      )}
    </section>
  )
}

function InviteForm({ onInvited }: { onInvited: (invited: Invited) => Promise<void> }) {
  const ownRole = useRole()
  const { register, control, submit, reset, errors, formState, fault } = useCallForm(InviteMember, {
    email: '',
    role: 'developer',
  })
  const roles = MemberRole.options.filter((role) => ownRole === 'owner' || role !== 'owner')
  const options = roles.map((value) => ({ value, text: ROLE_NAMES[value] }))
  const invite = submit(async (input) => {
    const invited = await api.members.invite.mutate(input)
    reset()
    await onInvited(invited)
  })
  return (
    <form noValidate onSubmit={invite} className="grid gap-3">
      {fault !== null && <ErrorNotice error={fault} />}
      <div className="grid items-start gap-3 sm:grid-cols-[minmax(0,1fr)_10rem_auto]">
        <TextField
          label="Invite by e-mail address"
          type="email"
          autoComplete="off"
          error={errors.email?.message}
          {...register('email')}
        />
        <Controller
          name="role"
          control={control}
          render={({ field }) => <Select label="Role" options={options} value={field.value} onValueChange={field.onChange} />}
        />
        <Button type="submit" className="sm:mt-6.5" isPending={formState.isSubmitting}>
          Invite
        </Button>
      </div>
      <details>
        <summary className="min-h-6 w-fit cursor-pointer rounded text-sm font-medium text-accent">
          What the roles may do
        </summary>
        <dl className="mt-2 grid gap-1 text-sm">
          {roles.map((role) => (
            <div key={role}>
              <dt className="inline font-medium">{ROLE_NAMES[role]}: </dt>
              <dd className="inline text-ink-soft">{ROLE_TEXTS[role]}</dd>
            </div>
          ))}
        </dl>
      </details>
    </form>
  )
}

interface InvitationItemProps {
  invitation: Invitation
  onSentAgain: (invited: Invited) => Promise<void>
  onRevoked: () => void
}

function InvitationItem({ invitation, onSentAgain, onRevoked }: InvitationItemProps) {
  const ownRole = useRole()
  const [isPending, setIsPending] = useState(false)
  const [fault, setFault] = useState<CallError | null>(null)
  const { id, email, role, invitedBy, expiresAt, isExpired } = invitation
  const address = isolated(writtenAddress(email))
  const act = async (work: () => Promise<void>) => {
    setIsPending(true)
    setFault(null)
    try {
      await work()
    } catch (error) {
      setFault(describeCallError(error))
    }
    await queryClient.invalidateQueries(trpc.members.pathFilter())
    setIsPending(false)
  }
  const sendAgain = async () => await onSentAgain(await api.members.invite.mutate({ email, role }))
  const revoke = async () => {
    await api.members.revokeInvitation.mutate({ invitationId: id })
    onRevoked()
    // The pressed button disappears with its item.
    membersHeading()?.focus()
    announce(
      <>
        The invitation of <UserText>{writtenAddress(email)}</UserText> is revoked.
      </>,
    )
  }
  return (
    <li className="grid gap-2 border-line px-4 py-3 text-sm not-last:border-b">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1">
        <span className="min-w-0 wrap-anywhere">
          <span className="font-medium">
            <UserText>{writtenAddress(email)}</UserText>
          </span>{' '}
          <span className="text-ink-soft">as {ROLE_NAMES[role]}</span> {isExpired && <Badge tone="plain">Expired</Badge>}
        </span>
        <span className="flex gap-4">
          {(ownRole === 'owner' || role !== 'owner') && (
            <TextButton aria-label={`Send again to ${address}`} isPending={isPending} onClick={() => void act(sendAgain)}>
              Send again
            </TextButton>
          )}
          <TextButton aria-label={`Revoke the invitation of ${address}`} isPending={isPending} onClick={() => void act(revoke)}>
            Revoke
          </TextButton>
        </span>
      </div>
      <p className="text-xs text-ink-soft">
        {isExpired ? 'Expired' : 'Expires'} <time dateTime={expiresAt}>{formatMoment(expiresAt)}</time>
        {invitedBy?.email != null && (
          <>
            {' '}
            · invited by <UserText>{writtenAddress(invitedBy.email)}</UserText>
          </>
        )}
      </p>
      {fault !== null && <ErrorNotice error={fault} />}
    </li>
  )
}
