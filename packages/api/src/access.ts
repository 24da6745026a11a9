import type { MemberRole } from '@keymeter/contract'

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
  'members.leave': EVERY_MEMBER,
  'members.list': EVERY_MEMBER,
  'members.remove': ADMINS,
  'members.setRole': ADMINS,
  'members.transferOwnership': OWNERS,
  'usage.events': EVERY_MEMBER,
  'usage.timeseries': EVERY_MEMBER,
  'usage.watch': EVERY_MEMBER,
} as const satisfies Record<string, Access>

/** A call of a member on an account: the path of a procedure, or an export. */
export type MemberCall = keyof typeof ACCESS

export function isMemberCall(path: string): path is MemberCall {
  return Object.hasOwn(ACCESS, path)
}
