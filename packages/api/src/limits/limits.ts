import type { Db } from '@keymeter/db'
import { Limit } from './limit.ts'

const HOUR_SECONDS = 3_600
const DAY_SECONDS = 86_400

/** The number of attempts that each limit allows. 0 switches a limit off. .env.example describes each of these settings. */
export interface LimitSettings {
  signUpsPerAddressPerHour: number
  signUpsPerMailboxPerHour: number
  linkRequestsPerAddressPerHour: number
  linkRequestsPerMailboxPerHour: number
  keyChangesPerAccountPerHour: number
  keyRevokesPerPersonPerHour: number
  newKeysPerAccountPerDay: number
  memberChangesPerPersonPerHour: number
  invitationsPerPersonPerDay: number
  wrongServiceKeysPerAddressPerHour: number
}

/** docs/decisions/0026-limits-mailboxes-and-sessions.md explains these numbers. */
export const DEFAULT_LIMITS: LimitSettings = {
  signUpsPerAddressPerHour: 20,
  signUpsPerMailboxPerHour: 10,
  linkRequestsPerAddressPerHour: 30,
  linkRequestsPerMailboxPerHour: 6,
  keyChangesPerAccountPerHour: 300,
  keyRevokesPerPersonPerHour: 1_000,
  newKeysPerAccountPerDay: 200,
  memberChangesPerPersonPerHour: 100,
  invitationsPerPersonPerDay: 50,
  wrongServiceKeysPerAddressPerHour: 100,
}

/** All limits are off. For tests and benchmarks, which send many requests as one account or from one address. */
export const NO_LIMITS: LimitSettings = {
  signUpsPerAddressPerHour: 0,
  signUpsPerMailboxPerHour: 0,
  linkRequestsPerAddressPerHour: 0,
  linkRequestsPerMailboxPerHour: 0,
  keyChangesPerAccountPerHour: 0,
  keyRevokesPerPersonPerHour: 0,
  newKeysPerAccountPerDay: 0,
  memberChangesPerPersonPerHour: 0,
  invitationsPerPersonPerDay: 0,
  wrongServiceKeysPerAddressPerHour: 0,
}

export type Limits = ReturnType<typeof createLimits>

/** Creates the limits of this process. A charge uses none of them. */
export function createLimits(db: Db, settings: LimitSettings) {
  return {
    signUpsPerAddress: new Limit(db, {
      name: 'sign-up-address',
      attemptsMax: settings.signUpsPerAddressPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'Too many sign-ups from your network',
    }),
    signUpsPerMailbox: new Limit(db, {
      name: 'sign-up-mailbox',
      attemptsMax: settings.signUpsPerMailboxPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'Too many sign-ups with this e-mail address',
    }),
    linkRequestsPerAddress: new Limit(db, {
      name: 'link-address',
      attemptsMax: settings.linkRequestsPerAddressPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'Too many requests for a mail from your network',
    }),
    linkRequestsPerMailbox: new Limit(db, {
      name: 'link-mailbox',
      attemptsMax: settings.linkRequestsPerMailboxPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'Too many requests for a mail to this address',
    }),
    keyChanges: new Limit(db, {
      name: 'key-changes',
      attemptsMax: settings.keyChangesPerAccountPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_key_changes',
      refusal: 'This account has made too many changes',
      advice: 'You can still revoke and disable keys.',
    }),
    keyRevokes: new Limit(db, {
      name: 'key-revokes',
      attemptsMax: settings.keyRevokesPerPersonPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_key_changes',
      refusal: 'You have sent too many requests to revoke or disable keys',
    }),
    newKeys: new Limit(db, {
      name: 'new-keys',
      attemptsMax: settings.newKeysPerAccountPerDay,
      windowSeconds: DAY_SECONDS,
      reason: 'too_many_key_changes',
      refusal: 'This account has created too many keys',
      advice: 'You can still change and rotate the keys that exist.',
    }),
    memberChanges: new Limit(db, {
      name: 'member-changes',
      attemptsMax: settings.memberChangesPerPersonPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'You have made too many changes of members and settings',
    }),
    invitations: new Limit(db, {
      name: 'invitations',
      attemptsMax: settings.invitationsPerPersonPerDay,
      windowSeconds: DAY_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'You have sent too many invitations',
    }),
    wrongServiceKeys: new Limit(db, {
      name: 'wrong-service-key',
      attemptsMax: settings.wrongServiceKeysPerAddressPerHour,
      windowSeconds: HOUR_SECONDS,
      reason: 'too_many_attempts',
      refusal: 'Too many wrong service keys from your network',
      advice: 'The right service key is accepted immediately.',
    }),
  }
}
