import { z } from 'zod'
import { KeyId } from './keys.ts'
import { Output, Timestamp } from './output.ts'

export const AUDIT_PAGE_MAX = 100

/** What an audit entry records: a change of a key, of the account, or of its members. */
export const AuditAction = z.enum([
  'key.created',
  'key.updated',
  'key.disabled',
  'key.enabled',
  'key.rotated',
  'key.grace_ended',
  'key.secret_saved',
  'key.secret_replaced',
  'key.secret_repeated',
  'key.revoked',
  'account.topped_up',
  'account.top_up_taken_back',
  'account.plan_changed',
  'account.suspended',
  'account.resumed',
  'account.free_credits_granted',
  'account.renamed',
  'account.second_factor_changed',
  'account.closed',
  'account.erased',
  'member.invited',
  'member.invitation_revoked',
  'member.joined',
  'member.role_changed',
  'member.removed',
  'member.left',
])
export type AuditAction = z.infer<typeof AuditAction>

/**
 * `member` is a member of the account. `operator` is the company that runs Keymeter. `system` is Keymeter itself, which grants
 * free credits by the operator's settings.
 */
export const AuditActor = z.enum(['member', 'operator', 'system'])
export type AuditActor = z.infer<typeof AuditActor>

/** One entry of the audit log: who changed what, when, and from where. `detail` never contains a secret. */
export const AuditEntry = z.object({
  /** The number of the entry in the account's audit log: 1 for the first entry, without gaps. */
  sequence: z.int().positive(),
  actor: AuditActor,
  /**
   * The member who made the change. Null if the actor is not a member. The address is null if it is unknown, or if the user was
   * deleted since.
   */
  member: z.object({ id: z.guid(), email: z.string().nullable() }).nullable(),
  action: AuditAction,
  keyId: KeyId.nullable(),
  /** The current name of the key. Null if the entry is not about a key. */
  keyName: z.string().nullable(),
  /** The current key prefix of the key. It distinguishes keys with the same name. */
  keyPrefix: z.string().nullable(),
  detail: z.record(z.string(), z.json()),
  /**
   * Where the call came from. All three fields are null if the actor is not a member, so a customer does not learn how the
   * operator works. The address and the user agent can also be unknown.
   */
  requestId: z.string().nullable(),
  clientAddress: z.string().nullable(),
  userAgent: z.string().nullable(),
  createdAt: Timestamp,
})
export type AuditEntry = z.infer<typeof AuditEntry>

/** Lists entries from newest to oldest. The range includes `from` and excludes `to`. */
export const ListAudit = z.strictObject({
  action: AuditAction.optional(),
  keyId: KeyId.optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  /** The `nextCursor` of the previous page. The first page needs no cursor. */
  cursor: z.int().positive().nullish(),
  limit: z.int().min(1).max(AUDIT_PAGE_MAX).default(50),
  /** tRPC's client adds this field to infinite queries. The server ignores it. */
  direction: z.literal('forward').optional(),
})
export type ListAudit = z.infer<typeof ListAudit>

/** `nextCursor` is null on the last page. */
export const ListAuditOutput = Output.extend({ data: z.array(AuditEntry), nextCursor: z.int().positive().nullable() })
