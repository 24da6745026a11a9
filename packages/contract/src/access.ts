import { MemberRole } from './members.ts'

/** Whether a role may make a call. `own keys` means: only on keys that the member has created and that belong to a person. */
export type Access = Readonly<Record<MemberRole, 'yes' | 'own keys' | 'no'>>

const EVERY_MEMBER: Access = { viewer: 'yes', developer: 'yes', admin: 'yes', owner: 'yes' }
const DEVELOPERS: Access = { viewer: 'no', developer: 'own keys', admin: 'yes', owner: 'yes' }
const ADMINS: Access = { viewer: 'no', developer: 'no', admin: 'yes', owner: 'yes' }
const OWNERS: Access = { viewer: 'no', developer: 'no', admin: 'no', owner: 'yes' }

/**
 * The table of all calls of members on an account, and the roles that may make them. A call that is not in this table is refused.
 * The policies of row level security (supabase/schemas/permissions.sql) and the functions in functions/members enforce the same
 * rules a second time.
 */
export const ACCESS = {
  'accounts.close': OWNERS,
  'accounts.rename': ADMINS,
  'accounts.requireSecondFactor': OWNERS,
  'alerts.list': EVERY_MEMBER,
  'alerts.setThresholds': ADMINS,
  'audit.list': EVERY_MEMBER,
  'auth.provision': OWNERS,
  'billing.get': EVERY_MEMBER,
  'billing.ledger': EVERY_MEMBER,
  // The file contains the addresses of all members, and where their calls came from.
  'export.account': ADMINS,
  'export.usage': EVERY_MEMBER,
  'keys.confirmSecretSaved': DEVELOPERS,
  'keys.create': DEVELOPERS,
  'keys.disable': DEVELOPERS,
  'keys.enable': DEVELOPERS,
  'keys.endGrace': DEVELOPERS,
  'keys.get': EVERY_MEMBER,
  'keys.list': EVERY_MEMBER,
  'keys.replaceLostSecret': DEVELOPERS,
  'keys.revoke': DEVELOPERS,
  'keys.rotate': DEVELOPERS,
  'keys.update': DEVELOPERS,
  'keys.usage': EVERY_MEMBER,
  'members.invitations': ADMINS,
  'members.invite': ADMINS,
  'members.leave': EVERY_MEMBER,
  'members.list': EVERY_MEMBER,
  'members.remove': ADMINS,
  'members.revokeInvitation': ADMINS,
  'members.setRole': ADMINS,
  'members.transferOwnership': OWNERS,
  'usage.events': EVERY_MEMBER,
  'usage.timeseries': EVERY_MEMBER,
  'usage.watch': EVERY_MEMBER,
} as const satisfies Record<string, Access>

/** A call of a member on an account: the path of a procedure, or an export. */
export type MemberCall = keyof typeof ACCESS

/** The answer for a role: whether it may make the call. The server enforces the same table, so a page can hide what it would refuse. */
export function accessOf(call: MemberCall, role: MemberRole): Access[MemberRole] {
  const access: Access = ACCESS[call]
  return access[role]
}

/**
 * Returns the roles that a member can give to a member with the role `target`. An admin cannot give or take the role of an owner.
 * keymeter.set_member_role enforces this, and keeps an owner in the account.
 */
export function rolesToGive(caller: MemberRole, target: MemberRole): MemberRole[] {
  if (accessOf('members.setRole', caller) === 'no' || (caller !== 'owner' && target === 'owner')) return []
  return MemberRole.options.filter((role) => caller === 'owner' || role !== 'owner')
}

/** Returns true if a member can remove another member with the role `target`. */
export function mayRemove(caller: MemberRole, target: MemberRole): boolean {
  return accessOf('members.remove', caller) === 'yes' && (caller === 'owner' || target !== 'owner')
}

export function isMemberCall(path: string): path is MemberCall {
  return Object.hasOwn(ACCESS, path)
}
