import { useQuery } from '@tanstack/react-query'
import { useMay, useRole } from '../account/current-account.ts'
import { QueryFault } from '../call/query-fault.tsx'
import { REFRESH_INTERVAL_MS, trpc } from '../call/trpc.ts'
import { AccountNameForm } from './account-name-form.tsx'
import { Invitations } from './invitations.tsx'
import { MemberTable } from './member-table.tsx'
import { ROLE_NAMES, ROLE_TEXTS } from './role-texts.ts'
import { SecondFactorRequirement } from './second-factor-requirement.tsx'

export function MembersPage() {
  const members = useQuery(trpc.members.list.queryOptions(undefined, { refetchInterval: REFRESH_INTERVAL_MS }))
  const role = useRole()
  const mayInvite = useMay('members.invite')
  return (
    <>
      <title>Members · Keymeter</title>
      <div className="grid gap-1">
        <h1 id="members" tabIndex={-1} className="text-xl font-semibold outline-none">
          Members
        </h1>
        {role !== null && (
          <p className="text-sm text-ink-soft">
            Your role in this account is <strong className="font-medium text-ink">{ROLE_NAMES[role]}</strong>:{' '}
            {ROLE_TEXTS[role]} {!mayInvite && 'Only owners and admins invite people, and change or remove members.'}
          </p>
        )}
      </div>
      <AccountNameForm />
      <section aria-label="Members" className="grid gap-4">
        <QueryFault query={members} />
        {members.data === undefined ? (
          members.isError || <div role="status" aria-label="Loading the members" className="h-40 rounded-2xl bg-raised" />
        ) : (
          <MemberTable members={members.data.data} />
        )}
      </section>
      {mayInvite && <Invitations />}
      <SecondFactorRequirement />
    </>
  )
}
